import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Verdict } from "./verdict.ts";

const script = fileURLToPath(new URL("../main.js", import.meta.url));

/** The check did not come to its end; the message says what it died of, and how to check once more. */
export class CheckDied extends Error {
  override readonly name = "CheckDied";
}

/**
 * Checks histories in a process of its own, which has all its memory for that: what it dies of, this one lives to tell.
 *
 * @throws {CheckDied}
 */
export async function judgeApart(folder: string): Promise<Verdict> {
  const args = [...process.execArgv, script, "--check", folder, "--json"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const output = text(child.stdout);
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  const json = await output;
  if ((code === 0 || code === 1) && json !== "") return JSON.parse(json) as Verdict;
  throw new CheckDied(
    `The check of the histories died (${signal ?? `exit code ${code}`}), so nothing is known of what the clients saw. ` +
      `They are kept; npm run chaos -- --check ${folder} checks them again.`,
  );
}

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { temporaryFolder } from "@sluice/stack";
import { entriesOf } from "../check/summary.ts";
import type { ChaosOptions } from "../options.ts";
import type { ChaosReport } from "../report/report.ts";
import { mutatedCopy } from "./mutated-copy.ts";
import { mutants, type Mutant } from "./mutants.ts";

/** Seconds of faults: enough for each nemesis of a mutant to strike a few times. */
const SECONDS = 12;

interface Trial {
  tell: (line: string) => void;
  signal: AbortSignal;
}

/** Runs a short chaos on each mutant; true when every one of them is found out. */
export async function tryMutants(
  { mutants: names, seed }: ChaosOptions,
  { tell, signal }: Trial,
): Promise<boolean> {
  const survivors: string[] = [];
  for (const mutant of mutants.filter(({ name }) => names.includes(name))) {
    if (signal.aborted) return false;
    const found = await anomaliesOf(mutant, seed, signal);
    tell(`${found.length > 0 ? "✓" : "✗"} ${mutant.name}: ${found.join(", ") || "not found out"}`);
    if (found.length === 0) survivors.push(mutant.name);
  }
  tell(`${names.length - survivors.length} of ${names.length} mutants found out (seed ${seed})`);
  return survivors.length === 0;
}

/** Names of the promises that the checker found broken, with how often. */
async function anomaliesOf(mutant: Mutant, seed: number, signal: AbortSignal): Promise<string[]> {
  await using folder = await temporaryFolder();
  const script = await mutatedCopy(mutant, folder.path);
  const args = ["--seconds", SECONDS, "--nemeses", mutant.nemeses, "--seed", seed, "--longest", 2];
  // There they go with the folder, though there are anomalies.
  const keep = ["--keep", join(folder.path, "histories")];
  const child = spawn(
    process.execPath,
    [script, ...args.map(String), ...keep, "--patience", "15", "--no-fsync", "--json"],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const interrupt = () => void child.kill("SIGINT");
  signal.addEventListener("abort", interrupt);
  const [stdout, stderr] = [text(child.stdout), text(child.stderr)];
  await once(child, "close");
  signal.removeEventListener("abort", interrupt);
  const json = await stdout;
  // A run that breaks off says nothing of the promises.
  if (json === "") throw new Error(`the run of ${mutant.name} broke off:\n${await stderr}`);
  const { counts } = JSON.parse(json) as ChaosReport;
  return entriesOf(counts).map(([name, count]) => `${count} × ${name}`);
}

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Unavailable } from "./system.ts";

/** The client libraries of other systems are kept out of the workspace: who does not compare does not install them. */
const folder = fileURLToPath(new URL("../../peers/", import.meta.url));

const require = createRequire(`${folder}package.json`);

/** Loads a client library from the folder of the peers. Fails with {@link Unavailable} where it is not installed. */
export function loadPeer(name: string): unknown {
  requirePeer(name);
  return require(name);
}

/** Fails with {@link Unavailable} when the library is not installed. */
export function requirePeer(name: string): void {
  try {
    require.resolve(name);
  } catch {
    throw notInstalled(name);
  }
}

function notInstalled(name: string): Unavailable {
  return new Unavailable(`no ${name} here (npm run bench -- --install-peers)`);
}

/**
 * A built file of a library that is run as a program of its own. Fails with {@link Unavailable} where it is not
 * installed.
 */
export function peerFile(name: string, file: string): string {
  const path = join(folder, "node_modules", name, "dist", file);
  if (!existsSync(path)) throw notInstalled(name);
  return path;
}

/** Installs what tools/bench/peers/package.json names, next to it. */
export async function installPeers(): Promise<void> {
  const quiet = ["--no-package-lock", "--no-audit", "--no-fund"];
  // Of pgmq's package only the SQL is used, without the Postgres that it is made for.
  const args = ["install", ...quiet, "--ignore-scripts", "--omit=peer"];
  const npm = spawn("npm", args, { cwd: folder, stdio: ["ignore", "inherit", "inherit"] });
  const [code] = (await once(npm, "exit")) as [number | null];
  if (code !== 0) throw new Error(`npm install in ${folder} ended with code ${code}`);
}

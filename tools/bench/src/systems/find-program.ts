import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

import { Unavailable } from "./system.ts";

const run = promisify(execFile);

/** Looks for a program on PATH and in the folders of system services; says which package has it when it is nowhere. */
export async function findProgram(
  name: string,
  { debian, folders = [] }: { debian: string; folders?: string[] },
): Promise<string> {
  const path = (process.env["PATH"] ?? "").split(delimiter);
  for (const folder of [...folders, ...path, "/usr/local/sbin", "/usr/sbin"]) {
    const candidate = join(folder, name);
    const found = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
  }
  throw new Unavailable(`no ${name} here (apt-get install ${debian})`);
}

/** The first thing that looks like a version in what a program prints. */
export async function versionOf(program: string, args: string[]): Promise<string> {
  const { stdout } = await run(program, args, { timeout: 30_000 });
  return /\d+(\.\d+)+/.exec(stdout)?.[0] ?? "unknown version";
}

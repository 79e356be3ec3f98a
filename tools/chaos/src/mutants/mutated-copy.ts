import { cp, mkdir, readdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutant } from "./mutants.ts";

const project = fileURLToPath(new URL("../../../../", import.meta.url));

/** Copies the built project, with what a mutant changes, and returns the program of its chaos. */
export async function mutatedCopy(mutant: Mutant, folder: string): Promise<string> {
  for (const part of ["apps", "libs", "tools"])
    await cp(join(project, part), join(folder, part), { recursive: true });
  await cp(join(project, "package.json"), join(folder, "package.json"));
  await linkModules(folder);
  const file = builtFile(mutant);
  await writeFile(join(folder, file), mutated(mutant, await readFile(join(project, file), "utf8")));
  return join(folder, "tools", "chaos", "dist", "main.js");
}

/** What a file is with the change of a mutant. @throws when there is nothing to change. */
export function mutated({ name, edits }: Mutant, text: string): string {
  let changed = text;
  for (const [from, to] of edits) {
    if (!changed.includes(from)) throw new Error(`mutant ${name}: there is no "${from}" any more`);
    changed = changed.replaceAll(from, () => to);
  }
  return changed;
}

/** Below the project's folder. */
export function builtFile({ file }: Mutant): string {
  const [library = "", ...rest] = file.split("/");
  return `${join("libs", library, "dist", ...rest)}.js`;
}

/** The project's own packages are those of the copy, all others those of the original. */
async function linkModules(folder: string): Promise<void> {
  const [from, to] = [join(project, "node_modules"), join(folder, "node_modules")];
  await mkdir(join(to, "@sluice"), { recursive: true });
  for (const name of await readdir(from))
    if (name !== "@sluice") await symlink(join(from, name), join(to, name));
  for (const name of await readdir(join(from, "@sluice")))
    await symlink(await readlink(join(from, "@sluice", name)), join(to, "@sluice", name));
}

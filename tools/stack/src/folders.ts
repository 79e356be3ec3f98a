import { rm, rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the project: this file is in tools/stack/src or tools/stack/dist. */
export const PROJECT_FOLDER = fileURLToPath(new URL("../../..", import.meta.url));

/** Where downloads are kept: not data, so `npm run reset` leaves it alone. */
export const CACHE_FOLDER = join(PROJECT_FOLDER, ".sluice", "cache");

/** Where `npm start` keeps its data: SLUICE_DATA_DIR, else .sluice/data in the project. */
export function dataFolder(env = process.env): string {
  return resolve(PROJECT_FOLDER, env["SLUICE_DATA_DIR"] || join(".sluice", "data"));
}

/** What is left of a server that was killed may write for a moment: its folder is not empty then when it is to go. */
export const REMOVAL = { recursive: true, force: true, maxRetries: 10, retryDelay: 100 };

/** Deletes what was made in a folder, and the folder where nothing else is in it. */
export async function removeFrom(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) await rm(join(folder, name), REMOVAL);
  await rmdir(folder).catch(() => {});
}

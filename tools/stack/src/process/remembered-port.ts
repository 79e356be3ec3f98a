import { readFile, writeFile } from "node:fs/promises";
import { freePort, isPortFree } from "./free-port.ts";

/**
 * The port that was used last (kept in `file`) while nothing else has taken it, else a free one. An address that stays
 * the same over restarts is kind to psql sessions and to clients that reconnect.
 */
export async function rememberedPort(file: string): Promise<number> {
  const last = Number(await readFile(file, "utf8").catch(() => ""));
  if (Number.isInteger(last) && last > 0 && last < 65_536 && (await isPortFree(last))) return last;
  return freePort();
}

export async function rememberPort(file: string, port: number): Promise<void> {
  await writeFile(file, `${port}\n`);
}

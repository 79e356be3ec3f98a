import { readFile } from "node:fs/promises";

/** The memory that a process has at this moment. */
export async function residentBytes({ pid }: { pid: number }): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1_024;
}

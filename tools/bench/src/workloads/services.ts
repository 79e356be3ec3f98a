import type { RunningSystem } from "../systems/system.ts";

/** What the processes of this project say of themselves. */
export interface Usage {
  /** CPU seconds since the start. */
  cpu: number;
  /** Resident bytes. */
  memory: number;
  /** Bytes in use on the heap, garbage among them, and outside of it. */
  used: number;
}

/** API and dispatcher by their names; an installation that was not started here shows its API alone. */
export function servicesOf(running: RunningSystem): { name: string; url: string }[] {
  return running.services ?? [{ name: "API", url: running.address["url"] ?? "" }];
}

export async function readUsage(url: string): Promise<Usage> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)`, "m").exec(text)?.[1]);
  return {
    cpu: value("process_cpu_seconds_total"),
    memory: value("process_resident_memory_bytes"),
    used: value("nodejs_heap_size_used_bytes") + value("nodejs_external_memory_bytes"),
  };
}

import type { ServiceProcess } from "@sluice/stack";

import { readUsage } from "../workloads/services.ts";
import { collect, type Kept } from "./collect.ts";

/** A process whose memory is watched. */
export interface Watched {
  name: string;
  look(): Promise<Kept>;
}

/** For the environment of processes that are to be watched: a module that is loaded before their program. */
export const probe = new URL("../../dist/soak/probe.js", import.meta.url).href;

/** This process, in which the clients are. */
export const clients: Watched = { name: "clients", look: collect };

/** One that was started with {@link probe}. */
export function probed(service: ServiceProcess): Watched {
  let asked = 0;
  const look = async () => {
    const number = (asked += 1);
    service.signal("SIGUSR2");
    return await service.waitFor((line) => keptIn(line, number), 60_000);
  };
  return { name: service.name, look };
}

function keptIn(line: string, number: number): Kept | undefined {
  if (!line.includes("probe.kept")) return undefined;
  const said = JSON.parse(line) as { number: number; kept: Kept };
  return said.number === number ? said.kept : undefined;
}

/** One of which there is nothing but its address: its garbage counts as well. */
export function unprobed({ name, url }: { name: string; url: string }): Watched {
  const look = async () => {
    const { memory, used } = await readUsage(url);
    return { used, resident: memory };
  };
  return { name, look };
}

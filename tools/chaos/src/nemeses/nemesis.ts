import { setTimeout as sleep } from "node:timers/promises";
import type { Sql } from "postgres";
import type { Clients } from "../clients/clients.ts";
import { between, type Random } from "../random.ts";
import type { System } from "../system/system.ts";

export interface Battlefield {
  system: System;
  clients: Clients;
  random: Random;
  /** As the superuser, past all proxies; made anew for each strike. */
  connect: () => Sql;
  /** Seconds that a fault lasts: up to this. */
  longest: number;
}

/** Does something bad, lets it last and undoes it. */
export type Strike = (field: Battlefield) => Promise<void>;

/** Lets a fault last, for a time by chance. */
export async function last({ random, longest }: Battlefield, least = 0.2): Promise<void> {
  await sleep(between(random, least * 1_000, Math.max(least, longest) * 1_000));
}

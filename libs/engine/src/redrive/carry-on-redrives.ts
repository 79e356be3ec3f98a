import type { Bus } from "@sluice/bus";
import type { Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import { moveDeadLetters, runningRedrives } from "./move-dead-letters.ts";

/** One step of every redrive that is under way; "again" while one of them has more to move at once. */
export async function carryOnRedrives(options: {
  sql: Sql;
  bus: Bus;
  signal: AbortSignal;
}): Promise<"again" | undefined> {
  const { sql, bus, signal } = options;
  let again = false;
  for (const id of await runningRedrives(sql)) {
    if (signal.aborted) return undefined;
    failpoint("redrive.before-step");
    const { queueIds, more } = await moveDeadLetters(sql, id);
    failpoint("redrive.committed");
    if (queueIds.length > 0) bus.signalQueues(queueIds);
    again ||= more;
  }
  return again ? "again" : undefined;
}

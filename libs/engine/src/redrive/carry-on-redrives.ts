import type { Bus } from "@sluice/bus";
import type { Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import type { Observer } from "../observer.ts";
import { moveDeadLetters, runningRedrives } from "./move-dead-letters.ts";
import { moveFifo } from "./move-fifo.ts";

/** One step of every redrive that is under way; "again" while one of them has more to move at once. */
export async function carryOnRedrives(options: {
  sql: Sql;
  bus: Bus;
  observer: Pick<Observer, "redriven">;
  signal: AbortSignal;
}): Promise<"again" | undefined> {
  const { sql, bus, observer, signal } = options;
  let again = false;
  for (const { id, fifo } of await runningRedrives(sql)) {
    if (signal.aborted) return undefined;
    failpoint("redrive.before-step");
    const { messages, queueIds, more } = fifo
      ? await moveFifo(sql, id)
      : await moveDeadLetters(sql, id);
    failpoint("redrive.committed");
    if (messages > 0) observer.redriven(messages);
    if (queueIds.length > 0) bus.signalQueues(queueIds);
    again ||= more;
  }
  return again ? "again" : undefined;
}

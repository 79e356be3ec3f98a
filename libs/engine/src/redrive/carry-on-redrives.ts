import type { Bus } from "@sluice/bus";
import { isLockNotAvailable, type Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import type { Observer } from "../observer.ts";
import { moveDeadLetters, runningRedrives, type MoveResult } from "./move-dead-letters.ts";
import { moveFifo } from "./move-fifo.ts";

/**
 * One step of every redrive that is under way; "again" while one of them has more to move at once. One that fails, or
 * whose queue somebody holds for long, holds up no other: the next round comes back to it.
 */
export async function carryOnRedrives(options: {
  sql: Sql;
  bus: Bus;
  observer: Pick<Observer, "redriven" | "failed">;
  signal: AbortSignal;
}): Promise<"again" | undefined> {
  const { sql, bus, observer, signal } = options;
  let again = false;
  for (const task of await runningRedrives(sql)) {
    if (signal.aborted) return undefined;
    failpoint("redrive.before-step");
    const { messages, queueIds, more } = await step(task, options);
    failpoint("redrive.committed");
    if (messages > 0) observer.redriven(messages);
    if (queueIds.length > 0) bus.signalQueues(queueIds);
    again ||= more;
  }
  return again ? "again" : undefined;
}

async function step(
  { id, fifo }: { id: string; fifo: boolean },
  { sql, observer }: { sql: Sql; observer: Pick<Observer, "failed"> },
): Promise<MoveResult> {
  try {
    return fifo ? await moveFifo(sql, id) : await moveDeadLetters(sql, id);
  } catch (error) {
    if (!isLockNotAvailable(error)) observer.failed("redrive", error);
    return { messages: 0, queueIds: [], more: false };
  }
}

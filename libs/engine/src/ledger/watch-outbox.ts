import type { Sql } from "@sluice/database";
import { createDuty, type Duty, type Logger } from "@sluice/runtime";

import { fifoHeads } from "../fan-out/fifo-heads.ts";
import type { Observer } from "../observer.ts";
import { Pace } from "../pace.ts";

const LOOK_EVERY = 15_000;

/**
 * Tells the observer again and again how long the oldest batch has waited for its fan-out: that nobody fans out, or
 * that Postgres refuses a batch, shows in nothing else while messages are still accepted.
 */
export function watchOutbox({
  sql,
  observer,
  logger,
}: {
  sql: Sql;
  observer: Pick<Observer, "outboxWaits" | "dutyFailed">;
  logger: Logger;
}): Pick<Duty, "start" | "stop"> {
  // While something holds the xmin horizon a look walks all that has been in the outbox since.
  const pace = new Pace(0, { forgivesOne: true });
  const look = async () => {
    if (!pace.isDue) return;
    try {
      observer.outboxWaits(await pace.run(() => ageOfOutbox(sql)));
    } catch (error) {
      observer.outboxWaits(undefined);
      throw error;
    }
  };
  const name = "outbox metrics";
  const duty = createDuty({ name, intervalMs: LOOK_EVERY, runOnce: look, logger });
  return {
    start: () => {
      duty.start(() => {
        observer.dutyFailed(name);
      });
    },
    stop: () => duty.stop(),
  };
}

/**
 * Seconds for which the oldest batch in the outbox has waited; 0 when there is none. One look at its front, and one at
 * that of each FIFO topic that has something in it.
 */
export async function ageOfOutbox(sql: Sql): Promise<number> {
  const [row] = await sql<{ seconds: number }[]>`
    WITH RECURSIVE ${fifoHeads(sql)}
    SELECT coalesce(greatest(extract(epoch FROM clock_timestamp() - min(sent_at)), 0), 0)::float8 AS seconds
    FROM (
      (SELECT sent_at FROM outbox WHERE sequence IS NULL ORDER BY sent_at LIMIT 1)
      UNION ALL
      SELECT sent_at FROM heads
    ) waiting
    WHERE sent_at < 'infinity'`;
  return row?.seconds ?? 0;
}

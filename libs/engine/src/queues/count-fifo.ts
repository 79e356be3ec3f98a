import type { ControlPlane } from "@sluice/database";
import { sql } from "drizzle-orm";

import type { QueueCounts } from "../ledger/count-messages.ts";
import type { Queue } from "./queues.ts";

/** How many messages rest in a FIFO queue. Reads the whole queue's slices: proportional to its backlog. */
export async function countFifo(db: ControlPlane, queue: Queue): Promise<QueueCounts> {
  const rows = await db.execute<QueueCounts & Record<string, unknown>>(sql`
    SELECT coalesce(sum(bit_count(pending::bit(64))) FILTER (WHERE visible_at <= now), 0)::float8 AS "visible",
           coalesce(sum(bit_count(pending::bit(64))) FILTER (WHERE visible_at > now AND receive_count > 0), 0)::float8 AS "inFlight",
           coalesce(sum(bit_count(pending::bit(64))) FILTER (WHERE visible_at > now AND receive_count = 0), 0)::float8 AS "delayed",
           floor(extract(epoch FROM max(now) - min(sent_at)))::float8 AS "oldestMessageAge"
    FROM fifo_slices, (SELECT clock_timestamp() AS now) clock
    WHERE queue_id = ${queue.id}::bigint AND account = ${queue.account}::bigint
      AND sent_at > now - make_interval(secs => ${queue.retention}::int)`);
  const row = rows[0];
  if (!row) throw new Error("a count has no row");
  return row;
}

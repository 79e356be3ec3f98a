import type { Sql } from "@sluice/database";

import { deletedSource } from "../dead-letter/deleted-source.ts";
import { delivered } from "../ledger/delivered.ts";
import { recordEvents } from "../trace/record-events.ts";
import { deliverFifo } from "./deliver-fifo.ts";
import type { ReplayPage } from "./next-page.ts";
import { envelopeOf, movePast, takePage, type MovedRow } from "./page-steps.ts";

export interface DeliverResult {
  /** Messages put into the queue by this step. */
  messages: number;
  queueIds: string[];
  /** More to deliver at once: the step was cut off by its size, not by the rate or the end. */
  more: boolean;
}

/**
 * Delivers a page: the messages are in the queue and the replay has moved on, or neither. The retention of what is
 * replayed starts anew.
 *
 * @param masks - For each batch: the accepted messages, a bit each.
 */
export async function deliverPage(
  sql: Sql,
  page: ReplayPage,
  masks: readonly bigint[],
): Promise<DeliverResult> {
  const rows =
    page.fifoQueueId === null
      ? await deliverStandard(sql, page, masks)
      : await deliverFifo(sql, { ...page, fifoQueueId: page.fifoQueueId }, masks);
  const moved = rows.filter((row) => row.queue_id !== null);
  const taken = rows.reduce((sum, row) => sum + row.batches, 0);
  return {
    messages: moved.reduce((sum, row) => sum + row.messages, 0),
    queueIds: moved.map((row) => row.queue_id ?? ""),
    more: !page.last && taken === page.batches.length,
  };
}

/** Into a standard queue, in one statement. */
async function deliverStandard(
  sql: Sql,
  page: ReplayPage,
  masks: readonly bigint[],
): Promise<MovedRow[]> {
  return await sql<MovedRow[]>`
    WITH ${takePage(sql, page, masks)}, sliced AS (
      INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, group_id, moved, envelope, source_queue_id,
                          failure_reason, published_at)
      SELECT target.queue_id, t.came_at + make_interval(secs => target.delay), t.batch_id, t.bits & coalesce(g.mask, -1),
             t.account, CASE WHEN target.outlives_retention THEN t.came_at + make_interval(secs => target.delay) ELSE t.now END,
             coalesce(g.group_id, CASE WHEN target.has_tenants THEN '' END), target.delay > 0, ${envelopeOf(sql)},
             ${deletedSource(sql)}, target.failure_reason, t.sent_at
      -- A time for each: batches of one time are received in the order of their ids, which each process has of its own.
      FROM (SELECT *, clock_timestamp() AS came_at FROM taken ORDER BY published_at, place) t CROSS JOIN target
      LEFT JOIN LATERAL unnest(t.group_ids, t.group_masks) AS g(group_id, mask) ON true
      WHERE t.bits & coalesce(g.mask, -1) > 0 AND target.queue_id IS NOT NULL
      ORDER BY t.published_at, t.place
      RETURNING account, queue_id, batch_id, pending, visible_at, moved
    ), ${delivered(sql)}, events AS (
      ${recordEvents(sql, "replayed", replayed(sql), ["topic", "subscription", "visibleAt"])}
    ), ${movePast(sql, page)}`;
}

/** SQL: what was delivered. */
function replayed(sql: Sql) {
  return sql`(
        SELECT sliced.account, queue_id, batch_id, pending AS mask, visible_at, r.topic_id, r.subscription_id
        FROM sliced, replay r)`;
}

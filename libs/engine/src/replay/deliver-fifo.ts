import type { Sql, Transaction } from "@sluice/database";

import { limitWaits, lockGroups, lockQueues } from "../message-group/locks.ts";
import { fifoDeliveries } from "../send/insert-fifo.ts";
import { recordEvents } from "../trace/record-events.ts";
import type { ReplayPage } from "./next-page.ts";
import { envelopeOf, movePast, takePage, type MovedRow } from "./page-steps.ts";

/**
 * Delivers a page to a FIFO queue, as a send does: with its lock and those of the groups, so what is replayed comes in
 * its order at the end of each group. What is sent or fanned out at the same time comes before or after the page,
 * whole.
 *
 * Deduplication does not see it: the queue may have taken each of these messages within the last five minutes already,
 * and what is sent now with such an id is as new as it was.
 */
export async function deliverFifo(
  sql: Sql,
  page: ReplayPage & { fifoQueueId: string },
  masks: readonly bigint[],
): Promise<MovedRow[]> {
  const queueId = page.fifoQueueId;
  const groupIds = [...new Set(page.batches.flatMap((batch) => batch.groupIds))];
  return await sql.begin(async (tx) => {
    const [, , , rows] = await Promise.all([
      limitWaits(tx),
      lockQueues(tx, [queueId]),
      lockGroups(
        tx,
        groupIds.map((groupId) => ({ queueId, groupId })),
      ),
      tx<MovedRow[]>`
        WITH ${takePage(tx, page, masks)}, messages AS MATERIALIZED (
          SELECT row_number() OVER (ORDER BY t.published_at, t.place, b.bit) AS n, t.account, target.queue_id, t.batch_id, b.bit,
                 NULL::uuid AS message_id, g.group_id, '' AS scope, NULL::text AS deduplication_id, t.now AS sent_at,
                 t.now + make_interval(secs => target.delay) AS visible_at, target.delay > 0 AS delayed,
                 t.now + CASE WHEN target.outlives_retention THEN make_interval(secs => target.delay) ELSE interval '0' END AS kept_from, ${envelopeOf(tx)} AS envelope,
                 target.failure_reason, t.sent_at AS published_at, '' AS key, 0 AS message_count
          FROM taken t CROSS JOIN target
          CROSS JOIN LATERAL unnest(t.group_ids, t.group_masks) AS g(group_id, mask)
          CROSS JOIN generate_series(0, 62) AS b(bit)
          WHERE t.bits & g.mask >> b.bit & 1 = 1
        ), ${fifoDeliveries(tx)}, delivered AS (
          SELECT account, queue_id, count(*)::int AS messages FROM numbered WHERE fresh GROUP BY account, queue_id
        ), events AS (
          ${recordEvents(tx, "replayed", replayed(tx), ["topic", "subscription", "sequence"])}
        ), ${movePast(tx, page)}`,
    ]);
    return rows;
  });
}

/** SQL: what was delivered, with its place in the queue. */
function replayed(tx: Transaction) {
  return tx`(
            SELECT n.account, queue_id, batch_id, bit_or(1::bigint << bit) AS mask, sequence, r.topic_id, r.subscription_id
            FROM numbered n, replay r WHERE fresh
            GROUP BY n.account, queue_id, batch_id, sequence, r.topic_id, r.subscription_id)`;
}

import type { Sql } from "@sluice/database";

import { recordEvents } from "../trace/record-events.ts";
import { readInOrder } from "../clean-up/read-in-order.ts";

/** Slices deleted by one statement. */
const CHUNK = 10_000;

/**
 * Deletes every message of a queue that was sent up to a moment, in flight or not; what is answered later survives.
 *
 * It goes through the queue in the order of its index, a statement for each chunk: nobody waits for long, and what a
 * purge that dies has deleted stays deleted. Each one waits for a row that a claim is writing and deletes it all the
 * same, which rows that are locked and skipped would not be. It cannot see what such a claim moves on or splits off
 * behind it, so it looks again from the start, with the same moment in mind, until nothing of before is left to be
 * seen.
 *
 * @returns How many messages are gone.
 */
export async function purge(
  sql: Sql,
  queue: { id: string; account: string },
  sentUntil: string,
): Promise<number> {
  const start = "-infinity";
  let from = start;
  let purged = 0;
  for (;;) {
    const chunk = await purgeChunk(sql, queue, { sentUntil, from });
    purged += chunk.messages;
    if (chunk.last === null && from === start) return purged;
    from = chunk.last ?? start;
  }
}

async function purgeChunk(
  sql: Sql,
  { id, account }: { id: string; account: string },
  { sentUntil, from }: { sentUntil: string; from: string },
): Promise<{ messages: number; last: string | null }> {
  return await sql.begin(async (tx) => {
    await readInOrder(tx);
    const [row] = await tx<{ messages: number; last: string | null }[]>`
      WITH clock AS MATERIALIZED (
        SELECT clock_timestamp() AS now
      ), chunk AS MATERIALIZED (
        SELECT ctid AS row, visible_at FROM slices
        WHERE queue_id = ${id}::bigint AND account = ${account}::bigint
          AND (sent_at <= ${sentUntil}::text::timestamptz
               -- What is later than the clock was sent by one that was ahead.
               OR NOT (CASE WHEN moved AND sent_at = visible_at
                         -- One of a long delay: see insertSent.
                         THEN (SELECT b.sent_at FROM batches b WHERE b.id = batch_id) ELSE sent_at
                       END BETWEEN ${sentUntil}::text::timestamptz AND (SELECT now FROM clock)))
          AND visible_at >= ${from}::text::timestamptz
        ORDER BY visible_at, batch_id LIMIT ${CHUNK}::int FOR UPDATE
      ), purged AS (
        DELETE FROM slices WHERE ctid = ANY(ARRAY(SELECT row FROM chunk))
        RETURNING account, queue_id, batch_id, pending, receive_count, visible_at
      ), counted AS (
        SELECT coalesce(sum(bit_count(pending::bit(64))), 0)::int AS messages FROM purged
      ), ledger AS (
        INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
        SELECT ${account}::bigint, ${id}::bigint, 'purged', messages, NULL FROM counted WHERE messages > 0
        UNION ALL
        SELECT ${account}::bigint, ${id}::bigint, 'delayed', -sum(bit_count(pending::bit(64))), date_trunc('minute', visible_at)
        FROM purged, clock WHERE receive_count = 0 AND visible_at > now GROUP BY date_trunc('minute', visible_at)
      ), events AS (
        ${recordEvents(tx, "purged", tx`(SELECT account, queue_id, batch_id, pending AS mask FROM purged)`)}
      )
      SELECT messages, (SELECT max(visible_at) FROM chunk)::text AS last FROM counted`;
    return row ?? { messages: 0, last: null };
  });
}

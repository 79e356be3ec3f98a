import { numbers, type Sql } from "@sluice/database";

export interface FanOutResult {
  /** Batches that this call fanned out; the others were done before or are in other hands. */
  batches: number;
  /** Messages times the queues they went to. */
  deliveries: number;
  /** Queues that have new slices. */
  queueIds: string[];
}

/**
 * Fans batches out: one slice for each subscribed queue, and the end of their wait in the outbox, in one transaction.
 *
 * Taking the row out of the outbox is what makes it happen once: a batch announced twice, or taken by two dispatchers, is
 * found by one of them, and a dispatcher that dies leaves the row. Subscriptions are joined here and now: one that was
 * committed before the publish was answered is always seen, and no payload is read.
 */
export async function fanOut(sql: Sql, batchIds: readonly string[]): Promise<FanOutResult> {
  const rows = await sql<FanOutRow[]>`
    WITH waiting AS MATERIALIZED (
      SELECT batch_id FROM outbox WHERE batch_id = ANY(${numbers(batchIds)}::bigint[])
      ORDER BY batch_id FOR UPDATE SKIP LOCKED
    ), taken AS (
      DELETE FROM outbox o USING waiting w WHERE o.batch_id = w.batch_id
      RETURNING o.batch_id, o.account, o.topic_id, o.sent_at, o.message_count, o.group_ids, o.group_masks
    ), parts AS (
      -- A slice never mixes groups. Where no message has one, the whole batch is one part.
      SELECT t.*, g.group_id, coalesce(g.mask, 9223372036854775807 >> (63 - t.message_count)) AS mask
      FROM taken t LEFT JOIN LATERAL unnest(t.group_ids, t.group_masks) AS g(group_id, mask) ON true
    ), sliced AS (
      INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, group_id, moved)
      SELECT q.id, clock_timestamp() + make_interval(secs => q.delay), t.batch_id,
             t.mask, t.account, t.sent_at, t.group_id, q.delay > 0
      FROM parts t
      JOIN subscriptions s ON s.topic_id = t.topic_id AND s.account = t.account
      JOIN queues q ON q.id = s.queue_id AND q.account = t.account
      ORDER BY q.id, t.batch_id
      RETURNING account, queue_id, pending, visible_at, moved
    ), counted AS (
      SELECT account, queue_id, sum(bit_count(pending::bit(64)))::int AS count FROM sliced GROUP BY account, queue_id
    ), ledger AS (
      INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
      SELECT account, queue_id, 'sent', count, NULL FROM counted
      UNION ALL
      SELECT account, queue_id, 'delayed', sum(bit_count(pending::bit(64))), date_trunc('minute', visible_at)
      FROM sliced WHERE moved GROUP BY account, queue_id, date_trunc('minute', visible_at)
    )
    SELECT queue_id, count FROM counted
    UNION ALL
    SELECT NULL, count(*)::int FROM taken`;
  const result: FanOutResult = { batches: 0, deliveries: 0, queueIds: [] };
  for (const { queue_id, count } of rows) {
    if (queue_id === null) {
      result.batches = count;
    } else {
      result.deliveries += count;
      result.queueIds.push(queue_id);
    }
  }
  return result;
}

interface FanOutRow {
  queue_id: string | null;
  count: number;
}

/** Ages in ms, by the database clock. */
export interface Forgotten {
  /** Batches older than this were announced to nobody who acted on it. */
  olderThan: number;
  /** Those older than this are left out: undefined looks at all of them. */
  youngerThan: number | undefined;
  limit: number;
}

/**
 * Batches whose announcement was lost, oldest first. Walks what dead entries the outbox has of the time it looks at, and while
 * something holds the xmin horizon, those are all that were ever in it.
 */
export async function findForgotten(
  sql: Sql,
  { olderThan, youngerThan, limit }: Forgotten,
): Promise<string[]> {
  const rows = await sql<{ batch_id: string }[]>`
    SELECT batch_id FROM outbox
    WHERE sent_at < (SELECT clock_timestamp() - ${olderThan}::float8 * interval '1 millisecond')
      AND sent_at > (SELECT coalesce(clock_timestamp() - ${youngerThan ?? null}::float8 * interval '1 millisecond', '-infinity'))
    ORDER BY sent_at LIMIT ${limit}::int`;
  return rows.map((row) => row.batch_id);
}

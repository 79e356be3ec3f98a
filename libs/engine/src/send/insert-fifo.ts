import type { Sql, Transaction } from "@sluice/database";

import { deletedSource } from "../dead-letter/deleted-source.ts";
import { arrivals } from "../message-group/arrivals.ts";
import { lockGroups, lockQueues } from "../message-group/locks.ts";
import { recordEvents } from "../trace/record-events.ts";
import type { NewBatch } from "../write/batch-writer.ts";
import type { IdempotencyKey } from "../write/idempotency-keys.ts";
import {
  fifoMessageRows,
  fifoMessagesOf,
  rememberCalls,
  storedBatchesOf,
  storeFresh,
  type FifoWrite,
  type StoredBatches,
  type StoredRow,
} from "../write/fifo-write.ts";

/** How long a deduplication id counts from its first acceptance on, in seconds (LIMITS: queues, topics). */
export const DEDUPLICATION_INTERVAL = 300;

/**
 * Stores batches in FIFO queues, in the order of their messages, but for what the queue was sent within the last five
 * minutes already: that is answered with the id and the number it has had since, also within one round.
 *
 * The lock of the queue makes this the only transaction that adds to it, so sequences are in the order of commits and
 * no two transactions accept one deduplication id. The groups are locked as well, since an acknowledgement may be about
 * to take away one that it finds empty.
 *
 * @param lockTimeout - How long it waits for each lock; default: as long as a statement may take.
 */
export async function insertFifo(
  sql: Sql,
  batches: NewBatch[],
  keys: IdempotencyKey[],
  lockTimeout?: string,
): Promise<StoredBatches> {
  const messages = fifoMessagesOf(batches, keys);
  const stored = await sql.begin(async (tx) => {
    const [, , rows] = await Promise.all([
      lockQueues(
        tx,
        batches.map((batch) => batch.targetId),
        { lockTimeout },
      ),
      lockGroups(
        tx,
        messages.map(({ targetId, groupId }) => ({ queueId: targetId, groupId })),
      ),
      insert(tx, { batches, messages, keys }),
    ]);
    return rows;
  });
  return storedBatchesOf(stored);
}

async function insert(
  tx: Transaction,
  { batches, messages, keys }: FifoWrite,
): Promise<StoredRow[]> {
  return await tx<StoredRow[]>`
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    messages AS MATERIALIZED (
      SELECT m.*, m.target_id AS queue_id, clock.now AS sent_at, clock.now + make_interval(secs => q.delay) AS visible_at, q.delay > 0 AS delayed,
             clock.now + CASE WHEN q.delay >= q.retention THEN make_interval(secs => q.delay) ELSE interval '0' END AS kept_from,
             NULL AS envelope, NULL AS failure_reason, NULL::timestamptz AS published_at,
             CASE q.deduplication_scope WHEN 'messageGroup' THEN m.group_id ELSE '' END AS scope
      FROM ${fifoMessageRows(tx, messages)}
      JOIN queues q ON q.id = m.target_id AND q.account = m.account
      CROSS JOIN clock
    ), ${fifoDeliveries(tx)}, events AS (
      ${recordEvents(tx, "sent", sent(tx), ["sequence"])}
    ), ${storeFresh(tx, batches)}, ${rememberCalls(tx, "queue", keys)}
    SELECT batch_id, message_id, sequence_number FROM answered ORDER BY n`;
}

/** SQL: what was stored, with its place in the queue. */
function sent(tx: Transaction) {
  return tx`(
        SELECT account, queue_id, batch_id, bit_or(1::bigint << bit) AS mask, sequence
        FROM numbered WHERE fresh GROUP BY account, queue_id, batch_id, sequence)`;
}

/**
 * SQL: makes deliveries of `messages` (n, account, queue_id, batch_id, bit, message_id, group_id, scope,
 * deduplication_id, sent_at, kept_from, visible_at, delayed, envelope, failure_reason, published_at) in the order of n,
 * and `answered`: each of them as the queue knows it, and whether it is `fresh`. Their queues and groups are locked.
 * What has no deduplication id, as a replayed message, is fresh whatever the queue knows, and the queue does not
 * remember it.
 *
 * What was published may come to the queue `isLate`: later than what was sent after it. Whatever else comes while the
 * queue is locked comes after all that it knows, also where that has a later time because the clock was put back.
 *
 * Rows are numbered by windows over one list and never joined with one another: these connections have nested loops
 * only.
 */
export function fifoDeliveries(
  sql: Sql | Transaction,
  { isLate = false }: { isLate?: boolean } = {},
) {
  const until = isLate
    ? sql`AND d.accepted_at < m.sent_at + make_interval(secs => ${DEDUPLICATION_INTERVAL}::int)`
    : sql``;
  return sql`
    looked_up AS (
      SELECT m.*, d.message_id AS known_id, d.sequence_number AS known_number,
             m.deduplication_id IS NULL
             OR d.message_id IS NULL AND 1 = row_number() OVER (PARTITION BY m.queue_id, m.scope, m.deduplication_id ORDER BY m.n) AS fresh
      FROM messages m
      LEFT JOIN deduplication_ids d
        ON d.queue_id = m.queue_id AND d.scope = m.scope AND d.deduplication_id = m.deduplication_id AND d.account = m.account
        AND d.accepted_at > m.sent_at - make_interval(secs => ${DEDUPLICATION_INTERVAL}::int)
        ${until}
    ), ordered AS (
      SELECT l.*, 1 = row_number() OVER (PARTITION BY l.queue_id, l.batch_id, l.group_id, l.envelope, l.failure_reason, l.fresh ORDER BY l.n) AS leads
      FROM looked_up l ORDER BY l.n
    ), led AS MATERIALIZED (
      SELECT o.*, CASE WHEN o.fresh AND o.leads THEN nextval('fifo_sequences') END AS taken FROM ordered o
    ), numbered AS MATERIALIZED (
      SELECT l.*, max(l.taken) OVER (PARTITION BY l.queue_id, l.batch_id, l.group_id, l.envelope, l.failure_reason) AS sequence FROM led l
    ), fifo_sliced AS (
      INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, sent_at, delayed, envelope,
                               source_queue_id, failure_reason, published_at)
      SELECT queue_id, group_id, sequence, batch_id, bit_or(1::bigint << bit), account, visible_at, kept_from, delayed, envelope,
             ${deletedSource(sql)}, failure_reason, published_at
      FROM numbered WHERE fresh
      GROUP BY queue_id, group_id, sequence, batch_id, account, visible_at, kept_from, delayed, envelope, failure_reason, published_at
      RETURNING account, queue_id, pending, visible_at, delayed
    ), fifo_ledger AS (
      INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
      SELECT account, queue_id, 'sent', sum(bit_count(pending::bit(64))), NULL FROM fifo_sliced GROUP BY account, queue_id
      UNION ALL
      SELECT account, queue_id, 'delayed', sum(bit_count(pending::bit(64))), date_trunc('minute', visible_at)
      FROM fifo_sliced WHERE delayed GROUP BY account, queue_id, date_trunc('minute', visible_at)
    ), ${arrivals(sql, sql`numbered WHERE fresh`)}, answered AS MATERIALIZED (
      SELECT n, account, queue_id, batch_id, fresh, scope, deduplication_id, sent_at, key, message_count,
             coalesce(known_id, first_value(message_id) OVER same) AS message_id,
             coalesce(known_number, first_value(lpad((sequence * 64 + bit)::text, 20, '0')) OVER same) AS sequence_number
      FROM numbered
      WINDOW same AS (PARTITION BY queue_id, scope, deduplication_id ORDER BY n)
    ), remembered AS (
      INSERT INTO deduplication_ids (queue_id, scope, deduplication_id, account, accepted_at, message_id, sequence_number)
      SELECT queue_id, scope, deduplication_id, account, sent_at, message_id, sequence_number FROM answered
      WHERE fresh AND deduplication_id IS NOT NULL
      -- An id from outside of the interval: the later one counts. The clean-up has not come to it yet, or it is of a message that was sent after this one was published.
      ON CONFLICT (queue_id, scope, deduplication_id) DO UPDATE
      SET accepted_at = excluded.accepted_at, message_id = excluded.message_id, sequence_number = excluded.sequence_number
      WHERE deduplication_ids.accepted_at < excluded.accepted_at
    )`;
}

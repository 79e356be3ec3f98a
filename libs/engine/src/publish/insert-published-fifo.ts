import type { Sql, Transaction } from "@sluice/database";

import { lockTopics } from "../message-group/locks.ts";
import { DEDUPLICATION_INTERVAL } from "../send/insert-fifo.ts";
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

/**
 * Stores batches of FIFO topics and the note that each waits for its fan-out, but for what a topic was sent within the
 * last five minutes already: that is answered with the id and the number it has had since, also within one round.
 *
 * The lock of the topic makes this the only transaction that publishes to it, so its sequences are in the order of
 * commits: whoever sees one batch of the topic wait sees all that were before it, or they have been fanned out.
 *
 * @param lockTimeout - How long it waits for each lock; default: as long as a statement may take.
 */
export async function insertPublishedFifo(
  sql: Sql,
  batches: NewBatch[],
  keys: IdempotencyKey[],
  lockTimeout?: string,
): Promise<StoredBatches> {
  const messages = fifoMessagesOf(batches, keys);
  const stored = await sql.begin(async (tx) => {
    const [, rows] = await Promise.all([
      lockTopics(
        tx,
        batches.map((batch) => batch.targetId),
        lockTimeout,
      ),
      insert(tx, { batches, messages, keys }),
    ]);
    return rows;
  });
  return storedBatchesOf(stored);
}

/** One statement after that of the lock, so that it sees what the lock protects. */
async function insert(
  tx: Transaction,
  { batches, messages, keys }: FifoWrite,
): Promise<StoredRow[]> {
  return await tx<StoredRow[]>`
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    messages AS MATERIALIZED (
      SELECT m.*, m.target_id AS topic_id, clock.now AS sent_at, CASE t.fifo_throughput_scope WHEN 'messageGroup' THEN m.group_id ELSE '' END AS scope
      FROM ${fifoMessageRows(tx, messages)}
      JOIN topics t ON t.id = m.target_id AND t.account = m.account
      CROSS JOIN clock
    ), looked_up AS (
      SELECT m.*, d.message_id AS known_id, d.sequence_number AS known_number,
             d.message_id IS NULL AND 1 = row_number() OVER (PARTITION BY m.topic_id, m.scope, m.deduplication_id ORDER BY m.n) AS fresh
      FROM messages m
      LEFT JOIN topic_deduplication_ids d
        ON d.topic_id = m.topic_id AND d.scope = m.scope AND d.deduplication_id = m.deduplication_id AND d.account = m.account
        AND d.accepted_at > m.sent_at - make_interval(secs => ${DEDUPLICATION_INTERVAL}::int)
    ), ordered AS (
      SELECT l.*, 1 = row_number() OVER (PARTITION BY l.batch_id, l.fresh ORDER BY l.n) AS leads FROM looked_up l ORDER BY l.n
    ), led AS MATERIALIZED (
      SELECT o.*, CASE WHEN o.fresh AND o.leads THEN nextval('topic_sequences') END AS taken FROM ordered o
    ), numbered AS MATERIALIZED (
      SELECT l.*, max(l.taken) OVER (PARTITION BY l.batch_id) AS sequence FROM led l
    ), answered AS MATERIALIZED (
      SELECT n, account, topic_id, batch_id, fresh, scope, deduplication_id, sent_at, key, message_count,
             coalesce(known_id, first_value(message_id) OVER same) AS message_id,
             coalesce(known_number, first_value(lpad((sequence * 64 + bit)::text, 20, '0')) OVER same) AS sequence_number
      FROM numbered
      WINDOW same AS (PARTITION BY topic_id, scope, deduplication_id ORDER BY n)
    ), remembered AS (
      INSERT INTO topic_deduplication_ids (topic_id, scope, deduplication_id, account, accepted_at, message_id, sequence_number)
      SELECT topic_id, scope, deduplication_id, account, sent_at, message_id, sequence_number FROM answered WHERE fresh
      -- An id from before the interval, that the clean-up has not come to yet.
      ON CONFLICT (topic_id, scope, deduplication_id) DO UPDATE
      SET accepted_at = excluded.accepted_at, message_id = excluded.message_id, sequence_number = excluded.sequence_number
    ), ${storeFresh(tx, batches)}, awaiting_fan_out AS (
      INSERT INTO outbox (batch_id, account, topic_id, sent_at, message_count, sequence, message_bits, message_ids,
                          message_group_ids, deduplication_ids)
      SELECT batch_id, account, topic_id, sent_at, count(*), sequence, array_agg(bit ORDER BY n), array_agg(message_id ORDER BY n),
             array_agg(group_id ORDER BY n), array_agg(deduplication_id ORDER BY n)
      FROM numbered WHERE fresh GROUP BY batch_id, account, topic_id, sent_at, sequence
    ), ${rememberCalls(tx, "topic", keys)}
    SELECT batch_id, message_id, sequence_number FROM answered ORDER BY n`;
}

import { numbers, texts, type Sql, type Transaction } from "@sluice/database";

import { arrivals } from "../message-group/arrivals.ts";
import { lockGroups, lockQueues } from "../message-group/locks.ts";
import { RECORD_SEPARATOR } from "../publish/insert-published.ts";
import { recordEvents } from "../trace/record-events.ts";
import type { IdempotencyKey, NewBatch } from "../write/batch-writer.ts";
import { decodeStoredCall, type StoredMessage } from "../write/stored-call.ts";

/** How long a deduplication id counts from its first acceptance on, in seconds (LIMITS: queues, topics). */
export const DEDUPLICATION_INTERVAL = 300;

/** What became of messages: batch id → its messages in order of their bits. Batches whose queue is gone are missing. */
export type StoredBatches = Map<string, StoredMessage[]>;

/**
 * Stores batches in FIFO queues, in the order of their messages, but for what the queue was sent within the last five
 * minutes already: that is answered with the id and the number it has had since, also within one round.
 *
 * The lock of the queue makes this the only transaction that adds to it, so sequences are in the order of commits and
 * no two transactions accept one deduplication id. The groups are locked as well, since an acknowledgement may be about
 * to take away one that it finds empty.
 */
export async function insertFifo(
  sql: Sql,
  batches: NewBatch[],
  keys: IdempotencyKey[],
): Promise<StoredBatches> {
  const messages = fifoMessagesOf(batches, keys);
  const stored = await sql.begin(async (tx) => {
    const [, , rows] = await Promise.all([
      lockQueues(
        tx,
        batches.map((batch) => batch.targetId),
      ),
      lockGroups(
        tx,
        messages.map(({ targetId, groupId }) => ({ queueId: targetId, groupId })),
      ),
      insert(tx, batches, messages),
    ]);
    return rows;
  });
  return storedBatchesOf(stored);
}

export function storedBatchesOf(rows: readonly StoredRow[]): StoredBatches {
  const byBatch: StoredBatches = new Map();
  for (const { batch_id, message_id, sequence_number } of rows) {
    const message = { messageId: message_id, sequenceNumber: sequence_number };
    const of = byBatch.get(batch_id);
    if (of) of.push(message);
    else byBatch.set(batch_id, [message]);
  }
  return byBatch;
}

/** A message on its way into a FIFO topic or queue. */
export interface FifoMessage {
  targetId: string;
  account: string;
  batchId: string;
  bit: number;
  messageId: string;
  groupId: string;
  deduplicationId: string;
  /** The Idempotency-Key of its call; empty without one. */
  key: string;
  /** Of the call with that key. */
  messageCount: number;
}

export interface StoredRow {
  batch_id: string;
  message_id: string;
  sequence_number: string;
}

async function insert(
  tx: Transaction,
  batches: readonly NewBatch[],
  messages: readonly FifoMessage[],
): Promise<StoredRow[]> {
  return await tx<StoredRow[]>`
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    messages AS MATERIALIZED (
      SELECT m.*, clock.now AS sent_at, clock.now + make_interval(secs => q.delay) AS visible_at, q.delay > 0 AS delayed,
             NULL AS envelope, NULL AS failure_reason,
             CASE q.deduplication_scope WHEN 'messageGroup' THEN m.group_id ELSE '' END AS scope
      FROM unnest(
        ${numbers(messages.map((message) => message.account))}::bigint[],
        ${numbers(messages.map((message) => message.targetId))}::bigint[],
        ${numbers(messages.map((message) => message.batchId))}::bigint[],
        ${numbers(messages.map((message) => message.bit))}::int[],
        ${texts(messages.map((message) => message.messageId))}::uuid[],
        ${texts(messages.map((message) => message.groupId))}::text[],
        ${texts(messages.map((message) => message.deduplicationId))}::text[],
        ${texts(messages.map((message) => message.key))}::text[],
        ${numbers(messages.map((message) => message.messageCount))}::int[]
      ) WITH ORDINALITY AS m(account, queue_id, batch_id, bit, message_id, group_id, deduplication_id, key, message_count, n)
      JOIN queues q ON q.id = m.queue_id AND q.account = m.account
      CROSS JOIN clock
    ), ${fifoDeliveries(tx)}, events AS (
      ${recordEvents(tx, "sent", sent(tx), ["sequence"])}
    ), stored AS (
      INSERT INTO batches (id, account, sent_at, message_count, payload)
      SELECT b.id, b.account, clock.now, b.message_count, b.payload
      FROM clock, unnest(
        ${numbers(batches.map((batch) => batch.account))}::bigint[],
        ${numbers(batches.map((batch) => batch.lines.length))}::smallint[],
        ${numbers(batches.map((batch) => batch.id))}::bigint[],
        string_to_array(${batches.map((batch) => batch.lines.join("\n")).join(RECORD_SEPARATOR)}, ${RECORD_SEPARATOR})
      ) AS b(account, message_count, id, payload)
      WHERE b.id IN (SELECT batch_id FROM answered WHERE fresh)
    ), keys AS (
      INSERT INTO idempotency_keys (account, key, target_kind, target_id, message_count, stored_call)
      SELECT account, key, 'queue', queue_id, message_count,
             'fifo ' || string_agg(message_id || '/' || sequence_number, ' ' ORDER BY n)
      FROM answered WHERE key <> '' GROUP BY account, key, queue_id, message_count
      -- Two processes that write the same keys wait for each other, never in a circle.
      ORDER BY account, key
    )
    SELECT batch_id, message_id, sequence_number FROM answered ORDER BY n`;
}

/**
 * SQL: makes deliveries of `messages` (n, account, queue_id, batch_id, bit, message_id, group_id, scope, deduplication_id,
 * sent_at, visible_at, delayed, envelope, failure_reason) in the order of n, and `answered`: each of them as the queue knows
 * it, and whether it is `fresh`. Their queues and groups are locked.
 *
 * Rows are numbered by windows over one list and never joined with one another: these connections have nested loops only.
 */
export function fifoDeliveries(sql: Sql | Transaction) {
  return sql`
    looked_up AS (
      SELECT m.*, d.message_id AS known_id, d.sequence_number AS known_number,
             d.message_id IS NULL AND 1 = row_number() OVER (PARTITION BY m.queue_id, m.scope, m.deduplication_id ORDER BY m.n) AS fresh
      FROM messages m
      LEFT JOIN deduplication_ids d
        ON d.queue_id = m.queue_id AND d.scope = m.scope AND d.deduplication_id = m.deduplication_id AND d.account = m.account
        AND d.accepted_at > m.sent_at - make_interval(secs => ${DEDUPLICATION_INTERVAL}::int)
    ), ordered AS (
      SELECT l.*, 1 = row_number() OVER (PARTITION BY l.queue_id, l.batch_id, l.group_id, l.envelope, l.failure_reason, l.fresh ORDER BY l.n) AS leads
      FROM looked_up l ORDER BY l.n
    ), led AS MATERIALIZED (
      SELECT o.*, CASE WHEN o.fresh AND o.leads THEN nextval('fifo_sequences') END AS taken FROM ordered o
    ), numbered AS MATERIALIZED (
      SELECT l.*, max(l.taken) OVER (PARTITION BY l.queue_id, l.batch_id, l.group_id, l.envelope, l.failure_reason) AS sequence FROM led l
    ), sliced AS (
      INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, sent_at, delayed, envelope, failure_reason)
      SELECT queue_id, group_id, sequence, batch_id, bit_or(1::bigint << bit), account, visible_at, sent_at, delayed, envelope, failure_reason
      FROM numbered WHERE fresh
      GROUP BY queue_id, group_id, sequence, batch_id, account, visible_at, sent_at, delayed, envelope, failure_reason
      RETURNING account, queue_id, pending, visible_at, delayed
    ), ledger AS (
      INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
      SELECT account, queue_id, 'sent', sum(bit_count(pending::bit(64))), NULL FROM sliced GROUP BY account, queue_id
      UNION ALL
      SELECT account, queue_id, 'delayed', sum(bit_count(pending::bit(64))), date_trunc('minute', visible_at)
      FROM sliced WHERE delayed GROUP BY account, queue_id, date_trunc('minute', visible_at)
    ), ${arrivals(sql, sql`numbered WHERE fresh`)}, answered AS MATERIALIZED (
      SELECT n, account, queue_id, batch_id, fresh, scope, deduplication_id, sent_at, key, message_count,
             coalesce(known_id, first_value(message_id) OVER same) AS message_id,
             coalesce(known_number, first_value(lpad((sequence * 64 + bit)::text, 20, '0')) OVER same) AS sequence_number
      FROM numbered
      WINDOW same AS (PARTITION BY queue_id, scope, deduplication_id ORDER BY n)
    ), remembered AS (
      INSERT INTO deduplication_ids (queue_id, scope, deduplication_id, account, accepted_at, message_id, sequence_number)
      SELECT queue_id, scope, deduplication_id, account, sent_at, message_id, sequence_number FROM answered WHERE fresh
      -- An id from before the interval, that the clean-up has not come to yet.
      ON CONFLICT (queue_id, scope, deduplication_id) DO UPDATE
      SET accepted_at = excluded.accepted_at, message_id = excluded.message_id, sequence_number = excluded.sequence_number
    )`;
}

/** SQL: what was stored, with its place in the queue. */
function sent(tx: Transaction) {
  return tx`(
        SELECT account, queue_id, batch_id, bit_or(1::bigint << bit) AS mask, sequence
        FROM numbered WHERE fresh GROUP BY account, queue_id, batch_id, sequence)`;
}

/** A stored line begins with the id of its message. */
const ID_AT = '"messageId":"'.length;
const ID_LENGTH = 36;

export function fifoMessagesOf(
  batches: readonly NewBatch[],
  keys: readonly IdempotencyKey[],
): FifoMessage[] {
  const keyOf = new Map<string, IdempotencyKey>();
  for (const key of keys) {
    for (const { batchId, firstBit, count } of decodeStoredCall(key.storedCall).runs) {
      for (let bit = firstBit; bit < firstBit + count; bit += 1)
        keyOf.set(`${batchId}/${bit}`, key);
    }
  }
  return batches.flatMap(({ id, account, targetId, lines, messages }) =>
    messages.map(({ groupId, deduplicationId = "" }, bit) => {
      const key = keyOf.get(`${id}/${bit}`);
      return {
        targetId,
        account,
        batchId: id,
        bit,
        messageId: (lines[bit] ?? "").slice(ID_AT, ID_AT + ID_LENGTH),
        groupId,
        deduplicationId,
        key: key?.key ?? "",
        messageCount: key?.messageCount ?? 0,
      };
    }),
  );
}

import { numbers, texts, type Transaction } from "@sluice/database";

import { RECORD_SEPARATOR } from "../publish/insert-published.ts";
import type { NewBatch } from "./batch-writer.ts";
import type { IdempotencyKey } from "./idempotency-keys.ts";
import { decodeStoredCall, type StoredMessage } from "./stored-call.ts";

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

/** What one transaction stores in a FIFO topic or queue. */
export interface FifoWrite {
  batches: readonly NewBatch[];
  messages: readonly FifoMessage[];
  keys: readonly IdempotencyKey[];
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

/**
 * What became of messages: batch id → its messages in order of their bits. Batches whose target is gone are missing.
 */
export type StoredBatches = Map<string, StoredMessage[]>;

export interface StoredRow {
  batch_id: string;
  message_id: string;
  sequence_number: string;
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

/** SQL: the messages as rows `m`, numbered by `n` in their order. */
export function fifoMessageRows(tx: Transaction, messages: readonly FifoMessage[]) {
  return tx`
      unnest(
        ${numbers(messages.map((message) => message.account))}::bigint[],
        ${numbers(messages.map((message) => message.targetId))}::bigint[],
        ${numbers(messages.map((message) => message.batchId))}::bigint[],
        ${numbers(messages.map((message) => message.bit))}::smallint[],
        ${texts(messages.map((message) => message.messageId))}::uuid[],
        ${texts(messages.map((message) => message.groupId))}::text[],
        ${texts(messages.map((message) => message.deduplicationId))}::text[],
        ${texts(messages.map((message) => message.key))}::text[],
        ${numbers(messages.map((message) => message.messageCount))}::int[]
      ) WITH ORDINALITY AS m(account, target_id, batch_id, bit, message_id, group_id, deduplication_id, key, message_count, n)`;
}

/** SQL: stores the batches that have something fresh among what was `answered`, at the time of the `clock`. */
export function storeFresh(tx: Transaction, batches: readonly NewBatch[]) {
  return tx`
    stored AS (
      INSERT INTO batches (id, account, sent_at, message_count, payload)
      SELECT b.id, b.account, clock.now, b.message_count, b.payload
      FROM clock, unnest(
        ${numbers(batches.map((batch) => batch.account))}::bigint[],
        ${numbers(batches.map((batch) => batch.lines.length))}::smallint[],
        ${numbers(batches.map((batch) => batch.id))}::bigint[],
        string_to_array(${batches.map((batch) => batch.lines.join("\n")).join(RECORD_SEPARATOR)}, ${RECORD_SEPARATOR})
      ) AS b(account, message_count, id, payload)
      WHERE b.id IN (SELECT batch_id FROM answered WHERE fresh)
    )`;
}

/**
 * SQL: remembers for each Idempotency-Key what its call was `answered`, as it is: that outlives the window of
 * deduplication.
 */
export function rememberCalls(
  tx: Transaction,
  kind: "topic" | "queue",
  keys: readonly IdempotencyKey[],
) {
  const target = kind === "topic" ? tx`topic_id` : tx`queue_id`;
  return tx`
    keys AS (
      INSERT INTO idempotency_keys (account, key, target_kind, target_id, message_count, stored_call, created_at)
      SELECT account, key, ${kind}::text, ${target}, message_count,
             'fifo ' || string_agg(message_id || '/' || sequence_number, ' ' ORDER BY n),
             clock_timestamp() + make_interval(secs => repeatable_for)
      FROM answered
      JOIN unnest(
        ${numbers(keys.map((key) => key.account))}::bigint[],
        ${texts(keys.map((key) => key.key))}::text[],
        ${numbers(keys.map((key) => key.repeatableFor))}::int[]
      ) AS k(account, key, repeatable_for) USING (account, key)
      GROUP BY account, key, ${target}, message_count, repeatable_for
      -- Two processes that write the same keys wait for each other, never in a circle.
      ORDER BY account, key
    )`;
}

import { numbers, texts, type Sql } from "@sluice/database";

import type { IdempotencyKey, NewBatch } from "../write/batch-writer.ts";
import { groupArrays } from "../write/parts.ts";

/** Never part of a serialised message: JSON escapes it. */
export const RECORD_SEPARATOR = "\u001e";

/**
 * Stores batches and, in the same transaction, the note that each waits for its fan-out.
 *
 * The payloads go in as one text and are parted by the server: as an array each quote in them would be escaped here
 * and unescaped there. A topic deleted in the meantime drops out in the join, so no cache needs to be right.
 */
export async function insertPublished(
  sql: Sql,
  batches: NewBatch[],
  keys: IdempotencyKey[],
): Promise<string[]> {
  const groups = batches.map(groupArrays);
  const stored = await sql<{ id: string }[]>`
    WITH input AS MATERIALIZED (
      SELECT i.account, i.topic_id, i.message_count, i.payload,
             i.id, clock_timestamp() AS sent_at, nullif(i.group_ids, '')::text[] AS group_ids,
             nullif(i.group_masks, '')::bigint[] AS group_masks
      FROM unnest(
        ${numbers(batches.map((batch) => batch.account))}::bigint[],
        ${numbers(batches.map((batch) => batch.targetId))}::bigint[],
        ${numbers(batches.map((batch) => batch.lines.length))}::smallint[],
        ${numbers(batches.map((batch) => batch.id))}::bigint[],
        string_to_array(${batches.map((batch) => batch.lines.join("\n")).join(RECORD_SEPARATOR)}, ${RECORD_SEPARATOR}),
        ${texts(groups.map(({ groupIds }) => groupIds))}::text[],
        ${texts(groups.map(({ groupMasks }) => groupMasks))}::text[]
      ) AS i(account, topic_id, message_count, id, payload, group_ids, group_masks)
      JOIN topics t ON t.id = i.topic_id AND t.account = i.account
    ), stored AS (
      INSERT INTO batches (id, account, sent_at, message_count, payload)
      SELECT id, account, sent_at, message_count, payload FROM input
    ), awaiting_fan_out AS (
      INSERT INTO outbox (batch_id, account, topic_id, sent_at, message_count, group_ids, group_masks)
      SELECT id, account, topic_id, sent_at, message_count, group_ids, group_masks FROM input
    ), keys AS (
      INSERT INTO idempotency_keys (account, key, target_kind, target_id, message_count, stored_call)
      SELECT k.account, k.key, 'topic', k.topic_id, k.message_count, k.stored_call
      FROM unnest(
        ${numbers(keys.map((key) => key.account))}::bigint[],
        ${texts(keys.map((key) => key.key))}::text[],
        ${numbers(keys.map((key) => key.targetId))}::bigint[],
        ${numbers(keys.map((key) => key.messageCount))}::int[],
        ${texts(keys.map((key) => key.storedCall))}::text[]
      ) AS k(account, key, topic_id, message_count, stored_call)
      JOIN topics t ON t.id = k.topic_id AND t.account = k.account
      -- Two processes that write the same keys wait for each other, never in a circle.
      ORDER BY k.account, k.key
    )
    SELECT id FROM input`;
  return stored.map(({ id }) => id);
}

import { constant, numbers, statement, texts, type Sql, type Statement } from "@sluice/database";

import { delivered } from "../ledger/delivered.ts";
import { RECORD_SEPARATOR } from "../publish/insert-published.ts";
import { recordEvents } from "../trace/record-events.ts";
import type { NewBatch } from "../write/batch-writer.ts";
import type { IdempotencyKey } from "../write/idempotency-keys.ts";
import { partsOf } from "../write/parts.ts";

/**
 * Stores batches together with the slices that make them deliveries of their queue: a send needs no fan-out.
 *
 * A batch gets one slice for each delay and group among its messages; the queue's own delay is read here, so that a
 * change of it counts from its commit. A message that is delayed for as long as its queue keeps messages, or longer,
 * by itself or by its queue, comes to the queue at the end of its delay: from then on it is kept.
 */
export function insertSent(
  sql: Sql,
  batches: NewBatch[],
  keys: IdempotencyKey[],
): Statement<string[]> {
  const slices = batches.flatMap((batch, index) =>
    partsOf(batch).map((part) => ({ position: index + 1, ...part })),
  );
  const query = sql<{ id: string }[]>`
    WITH input AS MATERIALIZED (
      SELECT i.position::int, i.account, i.queue_id, i.message_count, i.payload, q.delay AS queue_delay, q.retention, q.has_tenants,
             i.id, clock_timestamp() AS sent_at
      FROM unnest(
        ${numbers(batches.map((batch) => batch.account))}::bigint[],
        ${numbers(batches.map((batch) => batch.targetId))}::bigint[],
        ${numbers(batches.map((batch) => batch.lines.length))}::smallint[],
        ${numbers(batches.map((batch) => batch.id))}::bigint[],
        string_to_array(${batches.map((batch) => batch.lines.join("\n")).join(RECORD_SEPARATOR)}, ${RECORD_SEPARATOR})
      ) WITH ORDINALITY AS i(account, queue_id, message_count, id, payload, position)
      JOIN queues q ON q.id = i.queue_id AND q.account = i.account
    ), stored AS (
      INSERT INTO batches (id, account, sent_at, message_count, payload)
      SELECT id, account, sent_at, message_count, payload FROM input
    ), sliced AS (
      INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, group_id, moved)
      SELECT i.queue_id,
             i.sent_at + make_interval(secs => d.delay),
             i.id, s.pending, i.account,
             i.sent_at + CASE WHEN d.delay >= i.retention THEN make_interval(secs => d.delay) ELSE interval '0' END,
             CASE WHEN i.has_tenants OR s.group_id <> '' THEN s.group_id END,
             -- A delayed message can be cancelled, so it can be found by its batch.
             d.delay > 0
      FROM unnest(
        ${numbers(slices.map((slice) => slice.position))}::int[],
        ${numbers(slices.map((slice) => slice.pending))}::bigint[],
        ${numbers(slices.map((slice) => slice.delay))}::float8[],
        ${texts(slices.map((slice) => slice.groupId))}::text[]
      ) AS s(position, pending, delay, group_id)
      JOIN input i ON i.position = s.position
      CROSS JOIN LATERAL (SELECT CASE WHEN s.delay < 0 THEN i.queue_delay ELSE s.delay END AS delay) d
      RETURNING account, queue_id, batch_id, pending, visible_at, moved
    ), ${delivered(sql)}, events AS (
      ${sentEvents(sql)}
    ), keys AS (
      INSERT INTO idempotency_keys (account, key, target_kind, target_id, message_count, stored_call, created_at)
      SELECT k.account, k.key, 'queue', k.queue_id, k.message_count, k.stored_call, clock_timestamp() + make_interval(secs => k.repeatable_for)
      FROM unnest(
        ${numbers(keys.map((key) => key.account))}::bigint[],
        ${texts(keys.map((key) => key.key))}::text[],
        ${numbers(keys.map((key) => key.targetId))}::bigint[],
        ${numbers(keys.map((key) => key.messageCount))}::int[],
        ${texts(keys.map((key) => key.storedCall))}::text[],
        ${numbers(keys.map((key) => key.repeatableFor))}::int[]
      ) AS k(account, key, queue_id, message_count, stored_call, repeatable_for)
      JOIN queues q ON q.id = k.queue_id AND q.account = k.account
      -- Two processes that write the same keys wait for each other, never in a circle.
      ORDER BY k.account, k.key
    )
    SELECT id FROM input`;
  return statement(query, (stored) => stored.map(({ id }) => id));
}

const sentEvents = constant((sql) =>
  recordEvents(sql, "sent", sql`(SELECT account, queue_id, batch_id, pending AS mask FROM sliced)`),
);

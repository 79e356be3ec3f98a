import {
  constant,
  numbers,
  statement,
  texts,
  type Fragment,
  type Sql,
  type Statement,
} from "@sluice/database";

import { deliver } from "../fan-out/deliver.ts";
import type { NewBatch } from "../write/batch-writer.ts";
import type { IdempotencyKey } from "../write/idempotency-keys.ts";
import { groupArrays } from "../write/parts.ts";

/** Never part of a serialised message: JSON escapes it. */
export const RECORD_SEPARATOR = "\u001e";

/** What one statement did. */
export interface Published {
  /** Batches whose topic still exists. */
  stored: string[];
  /** Those of them that wait for a dispatcher. */
  waiting: string[];
  /** Messages times the queues they went to. */
  deliveries: number;
  /** Queues that have new slices, by topic. */
  queuesOf: Map<string, string[]>;
}

/**
 * Stores batches and, in the same transaction, either their deliveries or the note that each waits for its fan-out.
 *
 * Where a topic has few subscriptions and none of them a filter, the fan-out is a slice for each of them: to leave that
 * to a dispatcher costs more than to do it (1,000 publishes a second to ten queues: 12.0 ms to the receive instead of
 * 17.8). The others wait in the outbox; so does what goes into an archive, since a replay relies on it that a fan-out
 * sees every subscription that was there before the publish was answered.
 *
 * The payloads go in as one text and are parted by the server: as an array each quote in them would be escaped here
 * and unescaped there. A topic deleted in the meantime drops out in the join, so no cache needs to be right.
 *
 * @param directQueues - Most subscriptions of a topic that is fanned out here; 0 leaves all to the dispatchers.
 */
export function insertPublished(
  sql: Sql,
  batches: NewBatch[],
  keys: IdempotencyKey[],
  directQueues: number,
): Statement<Published> {
  const groups = batches.map(groupArrays);
  const query = sql<PublishedRow[]>`
    WITH input AS MATERIALIZED (
      SELECT i.account, i.topic_id, i.message_count, i.payload,
             i.id, clock_timestamp() AS sent_at, nullif(i.group_ids, '')::text[] AS group_ids,
             nullif(i.group_masks, '')::bigint[] AS group_masks, t.archived_since IS NOT NULL AS is_archived
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
    )${directQueues > 0 ? deliverDirectly(sql, directQueues) : nothing(sql)}, awaiting_fan_out AS (
      INSERT INTO outbox (batch_id, account, topic_id, sent_at, message_count, group_ids, group_masks)
      SELECT id, account, topic_id, sent_at, message_count, group_ids, group_masks FROM input
      ${directQueues > 0 ? notTaken(sql) : nothing(sql)}
      RETURNING batch_id
    ), keys AS (
      INSERT INTO idempotency_keys (account, key, target_kind, target_id, message_count, stored_call, created_at)
      SELECT k.account, k.key, 'topic', k.topic_id, k.message_count, k.stored_call, clock_timestamp() + make_interval(secs => k.repeatable_for)
      FROM unnest(
        ${numbers(keys.map((key) => key.account))}::bigint[],
        ${texts(keys.map((key) => key.key))}::text[],
        ${numbers(keys.map((key) => key.targetId))}::bigint[],
        ${numbers(keys.map((key) => key.messageCount))}::int[],
        ${texts(keys.map((key) => key.storedCall))}::text[],
        ${numbers(keys.map((key) => key.repeatableFor))}::int[]
      ) AS k(account, key, topic_id, message_count, stored_call, repeatable_for)
      JOIN topics t ON t.id = k.topic_id AND t.account = k.account
      -- Two processes that write the same keys wait for each other, never in a circle.
      ORDER BY k.account, k.key
    )
    SELECT 'stored' AS kind, id, NULL::bigint AS queue_id, 0 AS count FROM input
    UNION ALL
    SELECT 'waiting', batch_id, NULL, 0 FROM awaiting_fan_out
    ${directQueues > 0 ? delivered(sql) : nothing(sql)}`;
  return statement(query, publishedOf);
}

/** SQL: the fan-out of those batches of `input` that need no dispatcher, `taken`. */
function deliverDirectly(sql: Sql, directQueues: number): Fragment {
  return sql`, fan_outs AS MATERIALIZED (
      SELECT t.account, t.topic_id, of.subscribed
      FROM (SELECT DISTINCT account, topic_id FROM input WHERE NOT is_archived) t
      CROSS JOIN LATERAL (
        SELECT count(*) AS subscribed, count(*) FILTER (WHERE s.filter_id IS NOT NULL) AS filtered
        FROM (
          SELECT filter_id FROM subscriptions WHERE topic_id = t.topic_id AND account = t.account LIMIT ${directQueues}::int + 1
        ) s
      ) of
      WHERE of.filtered = 0 AND of.subscribed BETWEEN 1 AND ${directQueues}::int
    ), taken AS MATERIALIZED (
      SELECT i.id AS batch_id, i.account, i.topic_id, i.sent_at, i.message_count, i.group_ids, i.group_masks,
             NULL::timestamptz AS archived_since, f.subscribed, '{}'::bigint[] AS filters, '{}'::bigint[] AS masks
      FROM input i JOIN fan_outs f ON f.topic_id = i.topic_id AND f.account = i.account
    ), ${deliver(sql)}`;
}

const notTaken = constant((sql) => sql`WHERE id NOT IN (SELECT batch_id FROM taken)`);
/** SQL: how many messages of each topic went to each queue. */
const delivered = constant(
  (sql) => sql`
    UNION ALL
    SELECT 'delivered', topic_id, queue_id, sum(bit_count(bits::bit(64)))::int FROM targets WHERE bits > 0 GROUP BY topic_id, queue_id`,
);
const nothing = constant((sql) => sql``);

type PublishedRow =
  | { kind: "stored" | "waiting"; id: string; queue_id: null; count: 0 }
  | { kind: "delivered"; id: string; queue_id: string; count: number };

function publishedOf(rows: readonly PublishedRow[]): Published {
  const published: Published = { stored: [], waiting: [], deliveries: 0, queuesOf: new Map() };
  const { queuesOf } = published;
  for (const { kind, id, queue_id, count } of rows) {
    if (kind !== "delivered") {
      published[kind].push(id);
      continue;
    }
    published.deliveries += count;
    const queues = queuesOf.get(id);
    if (queues) queues.push(queue_id);
    else queuesOf.set(id, [queue_id]);
  }
  return published;
}

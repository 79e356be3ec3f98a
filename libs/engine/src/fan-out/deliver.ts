import { constant, type Sql, type Transaction } from "@sluice/database";

import { deletedSource } from "../dead-letter/deleted-source.ts";
import { envelopeFor } from "../envelope/envelopes.ts";
import { delivered } from "../ledger/delivered.ts";
import { recordEvents } from "../trace/record-events.ts";

/**
 * SQL: the parts of a statement that turn the batches in its part `taken` into deliveries, one slice for each
 * subscription that accepts something.
 *
 * - Subscriptions are joined here and now, so no cache of them has to be right.
 * - Where the topic has an archive, it gets the batch now, with what this statement sees: so it is known for ever which
 *   subscriptions got the batch, and a replay knows the border to what came live. No time there is before that at which
 *   the archive was switched on, which tells its batches from those of an earlier one, whatever a clock does.
 * - Where a queue was deleted, its subscription's dead-letter queue gets what it would have got.
 * - What is delayed for as long as its queue keeps messages, or longer, is kept from the end of its delay (as in
 *   insertSent); its notification goes on telling when it was published.
 *
 * `taken` has `batch_id`, `account`, `topic_id`, `sent_at`, `message_count`, `group_ids`, `group_masks`; of its topic
 * `archived_since` and `subscribed` (how many subscriptions it has); and its `filters` with what each accepts of it
 * (`masks`). See {@link delivered} for how many messages went to which queue.
 */
export const deliver = constant(
  (sql) => sql`archived AS (
      INSERT INTO archived_batches (topic_id, account, published_at, place, batch_id, message_count, group_ids, group_masks, fanned_out)
      SELECT topic_id, account, greatest(sent_at, archived_since), batch_id, batch_id, message_count, group_ids, group_masks, pg_current_snapshot()
      FROM taken WHERE archived_since IS NOT NULL
    ), parts AS (
      -- A slice never mixes groups. Where no message has one, the whole batch is one part.
      SELECT t.*, g.group_id, coalesce(g.mask, 9223372036854775807 >> (63 - t.message_count)) AS mask
      FROM taken t LEFT JOIN LATERAL unnest(t.group_ids, t.group_masks) AS g(group_id, mask) ON true
    ), targets AS MATERIALIZED (
      SELECT t.account, t.topic_id, t.batch_id, coalesce(t.group_id, CASE WHEN q.has_tenants THEN '' END) AS group_id,
             t.sent_at, t.mask, accepted.bits, s.id AS subscription_id,
             coalesce(q.id, d.id) AS queue_id, coalesce(q.delay, 0) AS delay, q.delay >= q.retention AS outlives_retention,
             clock_timestamp() + make_interval(secs => coalesce(q.delay, 0)) AS visible_at,
             CASE WHEN NOT s.raw_delivery THEN (SELECT ${envelopeFor(sql, sql`topics`)} FROM topics WHERE id = t.topic_id)
               || CASE WHEN q.delay >= q.retention THEN '/' || floor(extract(epoch FROM t.sent_at) * 1000) ELSE '' END
             END AS envelope,
             CASE WHEN q.id IS NULL THEN 'the queue "' || s.deleted_queue || '" was deleted' END AS failure_reason
      FROM parts t
      JOIN subscriptions s ON s.topic_id = t.topic_id AND s.account = t.account
      CROSS JOIN LATERAL (
        SELECT CASE WHEN s.filter_id IS NULL THEN t.mask
               ELSE t.mask & t.masks[array_position(t.filters, s.filter_id)] END AS bits
      ) accepted
      LEFT JOIN queues q ON q.id = s.queue_id AND q.account = t.account
      LEFT JOIN queues d ON d.id = s.dead_letter_queue_id AND d.account = t.account AND s.queue_id IS NULL
      WHERE q.id IS NOT NULL OR d.id IS NOT NULL
    ), sliced AS (
      INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, group_id, moved, envelope, source_queue_id, failure_reason)
      SELECT queue_id, visible_at, batch_id, bits, account, CASE WHEN outlives_retention THEN visible_at ELSE sent_at END, group_id, delay > 0, envelope, ${deletedSource(sql)}, failure_reason
      FROM targets WHERE bits > 0
      ORDER BY queue_id, batch_id
      RETURNING account, queue_id, pending, visible_at, moved
    ), ${delivered(sql)}, events AS (
      ${recordEvents(sql, "each its own", fannedOut(sql), ["topic", "subscription", "visibleAt"])}
    )`,
);

/**
 * SQL: what went to a queue, and what a filter kept from it; also batches of topics without subscriptions, so that
 * somebody knows of them as well.
 */
function fannedOut(sql: Sql | Transaction) {
  return sql`(
        SELECT 'fannedOut' AS kind, account, topic_id, batch_id, subscription_id, queue_id, visible_at, bits AS mask
        FROM targets WHERE bits > 0
        UNION ALL
        SELECT 'refused', account, topic_id, batch_id, subscription_id, queue_id, NULL, mask & ~bits FROM targets WHERE mask <> bits
        UNION ALL
        SELECT 'refused', account, topic_id, batch_id, NULL, NULL, NULL, mask FROM parts WHERE subscribed = 0)`;
}

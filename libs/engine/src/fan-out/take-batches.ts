import { numbers, type Sql } from "@sluice/database";

import { recordEvents } from "../trace/record-events.ts";

/** A batch with what each filter accepts of it. */
export interface FilteredBatch {
  batchId: string;
  /** Of filter policies, ascending as numbers. */
  filterIds: readonly string[];
  /** For each of them: the accepted messages, a bit each. */
  masks: readonly bigint[];
}

/** What one statement did. */
export interface TakenBatches {
  /** Batches that were fanned out; those that are in no list were done before or are in other hands. */
  batches: number;
  /** Messages times the queues they went to. */
  deliveries: number;
  /** Queues that have new slices. */
  queueIds: string[];
  /** Batches that still wait, with the filters that their topics have now. */
  left: { batchId: string; filterIds: string[] }[];
  /** FIFO topics of batches that were given; see takeOrdered. */
  fifoTopicIds: string[];
}

/** Slices that one statement writes, unless a single batch has more queues than that. */
const MAX_SLICES = 5_000;

/**
 * Fans batches out: one slice for each subscription that accepts something, and the end of their wait in the outbox, in one
 * transaction.
 *
 * - Taking the row out of the outbox is what makes it happen once: a batch announced twice, or taken by two dispatchers, is
 *   found by one of them, and a dispatcher that dies leaves the row.
 * - Subscriptions are joined here and now: one that was committed before the publish was answered is always seen.
 * - A batch is taken only when exactly the filters that its topic has in this very snapshot were evaluated. Otherwise it is
 *   left, with the filters to evaluate: so a policy that was changed meanwhile is never half applied, and no cache of
 *   subscriptions has to be right.
 * - A batch goes to all of its queues or to none; how many batches go at once depends on how many queues they have.
 * - Where the topic has an archive, it gets the batch now, with what this statement sees: so it is known for ever which
 *   subscriptions got the batch, and a replay knows the border to what came live.
 * - Where a queue was deleted, its subscription's dead-letter queue gets what it would have got.
 */
export async function takeBatches(
  sql: Sql,
  batches: readonly FilteredBatch[],
): Promise<TakenBatches> {
  let next = 1;
  const first = batches.map(({ filterIds }) => {
    const start = next;
    next += filterIds.length;
    return start;
  });
  const rows = await sql<FanOutRow[]>`
    WITH waiting AS MATERIALIZED (
      SELECT o.batch_id, o.account, o.topic_id, o.sequence,
             (${numbers(batches.flatMap((batch) => batch.filterIds))}::bigint[])[g.first : g.first + g.count - 1] AS filters,
             (${numbers(batches.flatMap((batch) => batch.masks))}::bigint[])[g.first : g.first + g.count - 1] AS masks
      FROM unnest(
        ${numbers(batches.map((batch) => batch.batchId))}::bigint[],
        ${numbers(first)}::int[],
        ${numbers(batches.map((batch) => batch.filterIds.length))}::int[]
      ) AS g(batch_id, first, count)
      JOIN outbox o ON o.batch_id = g.batch_id
      ORDER BY o.batch_id FOR UPDATE OF o SKIP LOCKED
    ), fan_outs AS MATERIALIZED (
      SELECT t.account, t.topic_id, of.width, of.subscribed, of.filters,
             (SELECT archived_since FROM topics WHERE id = t.topic_id AND account = t.account) AS archived_since
      FROM (SELECT DISTINCT account, topic_id FROM waiting WHERE sequence IS NULL) t
      -- An aggregate for each topic, and not a join: that would be free to read the whole table.
      CROSS JOIN LATERAL (
        SELECT greatest(count(*), 1) AS width, count(*) AS subscribed,
               coalesce(array_agg(DISTINCT s.filter_id) FILTER (WHERE s.filter_id IS NOT NULL), '{}') AS filters
        FROM subscriptions s WHERE s.topic_id = t.topic_id AND s.account = t.account
      ) of
    ), evaluated AS MATERIALIZED (
      SELECT w.*, f.width, f.subscribed, f.archived_since, sum(f.width) OVER (ORDER BY w.batch_id ROWS UNBOUNDED PRECEDING) AS upto
      FROM waiting w JOIN fan_outs f ON f.topic_id = w.topic_id AND f.account = w.account
      WHERE f.filters = w.filters AND w.sequence IS NULL
    ), taken AS (
      DELETE FROM outbox o USING evaluated e
      WHERE o.batch_id = e.batch_id AND (e.upto <= ${MAX_SLICES}::int OR e.upto = e.width)
      RETURNING o.batch_id, o.account, o.topic_id, o.sent_at, o.message_count, o.group_ids, o.group_masks, e.filters, e.masks, e.archived_since,
                e.subscribed
    ), archived AS (
      INSERT INTO archived_batches (topic_id, account, published_at, place, batch_id, message_count, group_ids, group_masks, fanned_out)
      SELECT topic_id, account, sent_at, batch_id, batch_id, message_count, group_ids, group_masks, pg_current_snapshot()
      FROM taken WHERE sent_at >= archived_since
    ), parts AS (
      -- A slice never mixes groups. Where no message has one, the whole batch is one part.
      SELECT t.*, g.group_id, coalesce(g.mask, 9223372036854775807 >> (63 - t.message_count)) AS mask
      FROM taken t LEFT JOIN LATERAL unnest(t.group_ids, t.group_masks) AS g(group_id, mask) ON true
    ), targets AS MATERIALIZED (
      SELECT t.account, t.topic_id, t.batch_id, coalesce(t.group_id, CASE WHEN q.has_tenants THEN '' END) AS group_id,
             t.sent_at, t.mask, accepted.bits, s.id AS subscription_id,
             coalesce(q.id, d.id) AS queue_id, coalesce(q.delay, 0) AS delay,
             clock_timestamp() + make_interval(secs => coalesce(q.delay, 0)) AS visible_at,
             CASE WHEN NOT s.raw_delivery THEN (SELECT name FROM topics WHERE id = t.topic_id) || '/' || s.id END AS envelope,
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
      INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, group_id, moved, envelope, failure_reason)
      SELECT queue_id, visible_at, batch_id, bits, account, sent_at, group_id, delay > 0, envelope, failure_reason
      FROM targets WHERE bits > 0
      ORDER BY queue_id, batch_id
      RETURNING account, queue_id, pending, visible_at, moved
    ), counted AS (
      SELECT account, queue_id, sum(bit_count(pending::bit(64)))::int AS count FROM sliced GROUP BY account, queue_id
    ), ledger AS (
      INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
      SELECT account, queue_id, 'sent', count, NULL FROM counted
      UNION ALL
      SELECT account, queue_id, 'delayed', sum(bit_count(pending::bit(64))), date_trunc('minute', visible_at)
      FROM sliced WHERE moved GROUP BY account, queue_id, date_trunc('minute', visible_at)
    ), events AS (
      ${recordEvents(sql, "each its own", fannedOut(sql), ["topic", "subscription", "visibleAt"])}
    )
    SELECT queue_id, count, NULL::bigint AS batch_id, NULL AS filters, NULL::bigint AS fifo_topic_id FROM counted
    UNION ALL
    SELECT NULL, count(*)::int, NULL, NULL, NULL FROM taken
    UNION ALL
    SELECT NULL, 0, w.batch_id, array_to_string(f.filters, ','), NULL
    FROM waiting w JOIN fan_outs f ON f.topic_id = w.topic_id AND f.account = w.account
    WHERE w.batch_id NOT IN (SELECT batch_id FROM taken)
    UNION ALL
    SELECT DISTINCT NULL::bigint, 0, NULL::bigint, NULL, topic_id FROM waiting WHERE sequence IS NOT NULL`;
  return resultOf(rows);
}

/**
 * SQL: what went to a queue, and what a filter kept from it; also batches of topics without subscriptions, so that somebody
 * knows of them as well.
 */
function fannedOut(sql: Sql) {
  return sql`(
        SELECT 'fannedOut' AS kind, account, topic_id, batch_id, subscription_id, queue_id, visible_at, bits AS mask
        FROM targets WHERE bits > 0
        UNION ALL
        SELECT 'refused', account, topic_id, batch_id, subscription_id, queue_id, NULL, mask & ~bits FROM targets WHERE mask <> bits
        UNION ALL
        SELECT 'refused', account, topic_id, batch_id, NULL, NULL, NULL, mask FROM parts WHERE subscribed = 0)`;
}

interface FanOutRow {
  queue_id: string | null;
  count: number;
  batch_id: string | null;
  filters: string | null;
  fifo_topic_id: string | null;
}

function resultOf(rows: readonly FanOutRow[]): TakenBatches {
  const taken: TakenBatches = {
    batches: 0,
    deliveries: 0,
    queueIds: [],
    left: [],
    fifoTopicIds: [],
  };
  for (const { queue_id, count, batch_id, filters, fifo_topic_id } of rows) {
    if (fifo_topic_id !== null) {
      taken.fifoTopicIds.push(fifo_topic_id);
    } else if (queue_id !== null) {
      taken.deliveries += count;
      taken.queueIds.push(queue_id);
    } else if (batch_id === null) {
      taken.batches = count;
    } else {
      const filterIds = filters ? filters.split(",") : [];
      taken.left.push({ batchId: batch_id, filterIds });
    }
  }
  return taken;
}

import { numbers, type Sql } from "@sluice/database";

import { deliver } from "./deliver.ts";

/** A batch with what each filter accepts of it. */
export interface FilteredBatch {
  batchId: string;
  /** Of filter policies, ascending as numbers. */
  filterIds: readonly string[];
  /** For each of them: the accepted messages, a bit each. */
  masks: readonly bigint[];
}

/** A batch that still waits. */
export interface WaitingBatch {
  batchId: string;
  topicId: string;
  /** Of the filter policies that its topic has now, ascending as numbers. */
  filterIds: string[];
}

/** What one statement did. */
export interface TakenBatches {
  /** Batches that were fanned out; those that are in no list were done before or are in other hands. */
  batches: number;
  /** Messages times the queues they went to. */
  deliveries: number;
  /** Queues that have new slices. */
  queueIds: string[];
  /** Batches that were given, and still wait. */
  left: WaitingBatch[];
  /** FIFO topics of batches that were given; see takeOrdered. */
  fifoTopicIds: string[];
}

/** Slices that one statement writes, unless a single batch has more: one for each queue and group of its messages. */
const MAX_SLICES = 5_000;

/**
 * Fans batches out: one slice for each subscription that accepts something, and the end of their wait in the outbox, in
 * one transaction.
 *
 * - Taking the row out of the outbox is what makes it happen once: a batch announced twice, or taken by two
 *   dispatchers, is found by one of them, and a dispatcher that dies leaves the row.
 * - A batch is taken only when exactly the filters that its topic has in this very snapshot were evaluated. Otherwise
 *   it is left, with the filters to evaluate: so a policy that was changed meanwhile is never half applied, and no
 *   cache of subscriptions has to be right.
 * - A batch goes to all of its queues or to none; how many batches go at once depends on how many queues and groups
 *   they have.
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
      SELECT o.batch_id, o.account, o.topic_id, o.sequence, coalesce(cardinality(o.group_ids), 1) AS parts,
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
      SELECT w.*, f.subscribed, f.archived_since, f.width * w.parts AS slices,
             sum(f.width * w.parts) OVER (ORDER BY w.batch_id ROWS UNBOUNDED PRECEDING) AS upto
      FROM waiting w JOIN fan_outs f ON f.topic_id = w.topic_id AND f.account = w.account
      WHERE f.filters = w.filters AND w.sequence IS NULL
    ), taken AS (
      DELETE FROM outbox o USING evaluated e
      WHERE o.batch_id = e.batch_id AND (e.upto <= ${MAX_SLICES}::int OR e.upto = e.slices)
      RETURNING o.batch_id, o.account, o.topic_id, o.sent_at, o.message_count, o.group_ids, o.group_masks, e.filters, e.masks, e.archived_since,
                e.subscribed
    ), ${deliver(sql)}
    SELECT queue_id, messages AS count, NULL::bigint AS batch_id, NULL AS filters, NULL::bigint AS topic_id FROM delivered
    UNION ALL
    SELECT NULL, count(*)::int, NULL, NULL, NULL FROM taken
    UNION ALL
    SELECT NULL, 0, w.batch_id, array_to_string(f.filters, ','), w.topic_id
    FROM waiting w JOIN fan_outs f ON f.topic_id = w.topic_id AND f.account = w.account
    WHERE w.batch_id NOT IN (SELECT batch_id FROM taken)
    UNION ALL
    SELECT DISTINCT NULL::bigint, 0, NULL::bigint, NULL, topic_id FROM waiting WHERE sequence IS NOT NULL`;
  return resultOf(rows);
}

interface FanOutRow {
  queue_id: string | null;
  count: number;
  batch_id: string | null;
  filters: string | null;
  /** With a batch: its own; without: a FIFO topic. */
  topic_id: string | null;
}

/** What several statements did. */
export function takenTogether(taken: readonly TakenBatches[]): TakenBatches {
  return {
    batches: taken.reduce((sum, { batches }) => sum + batches, 0),
    deliveries: taken.reduce((sum, { deliveries }) => sum + deliveries, 0),
    queueIds: taken.flatMap(({ queueIds }) => queueIds),
    left: taken.flatMap(({ left }) => left),
    fifoTopicIds: [...new Set(taken.flatMap(({ fifoTopicIds }) => fifoTopicIds))],
  };
}

function resultOf(rows: readonly FanOutRow[]): TakenBatches {
  const taken = takenTogether([]);
  for (const { queue_id, count, batch_id, filters, topic_id } of rows) {
    if (batch_id !== null && topic_id !== null) {
      const filterIds = filters ? filters.split(",") : [];
      taken.left.push({ batchId: batch_id, topicId: topic_id, filterIds });
    } else if (topic_id !== null) {
      taken.fifoTopicIds.push(topic_id);
    } else if (queue_id !== null) {
      taken.deliveries += count;
      taken.queueIds.push(queue_id);
    } else {
      taken.batches = count;
    }
  }
  return taken;
}

import { numbers, type Sql, type Transaction } from "@sluice/database";

import { deletedSource } from "../dead-letter/deleted-source.ts";
import { envelopeFor } from "../envelope/envelopes.ts";
import { delivered } from "../ledger/delivered.ts";
import { limitWaits, lockFanOut, lockGroups, lockQueues } from "../message-group/locks.ts";
import { DEDUPLICATION_INTERVAL, fifoDeliveries } from "../send/insert-fifo.ts";
import { recordEvents } from "../trace/record-events.ts";

/** The batches of a FIFO topic that wait in front, and what its fan-out needs. */
export interface OrderedBatches {
  topicId: string;
  account: string;
  /** In the order of their sequences, from the first one that waits. */
  batches: { batchId: string; sequence: string; groupIds: string[] }[];
  /** Of the filter policies that the topic's subscriptions have, ascending as numbers. */
  filterIds: string[];
  /** The FIFO queues that get something. */
  fifoQueueIds: string[];
}

/** What one transaction did. */
export interface TakenOrdered {
  batches: number;
  deliveries: number;
  queueIds: string[];
}

/** Batches that one transaction takes. */
const MAX_BATCHES = 64;
/**
 * Messages times queues that one transaction writes, unless a single batch has more: 25 to 100 µs each, while the FIFO
 * queues among them are locked. 64 full batches to 300 queues would be more than a statement has time for, each time.
 */
const MAX_DELIVERIES = 5_000;

/**
 * What waits first of a FIFO topic; undefined when nothing does.
 * @param after - A sequence up to which all is fanned out, to skip its dead entries. What commits later has a higher
 * one.
 */
export async function findOrdered(
  sql: Sql,
  topicId: string,
  after: string,
): Promise<OrderedBatches | undefined> {
  const [rows, [targets]] = await Promise.all([
    sql<WaitingRow[]>`
      SELECT batch_id, account, extract(epoch FROM sent_at)::float8 AS sent_at, sequence, message_count, array_to_string(message_group_ids, ' ') AS group_ids
      FROM outbox WHERE topic_id = ${topicId}::bigint AND sequence IS NOT NULL AND sequence > ${after}::bigint
      ORDER BY topic_id, sequence LIMIT ${MAX_BATCHES}::int`,
    sql<{ filters: string; queues: string; count: number }[]>`
      SELECT coalesce(string_agg(DISTINCT s.filter_id::text, ','), '') AS filters, count(coalesce(q.id, d.id))::int AS count,
             coalesce(string_agg(DISTINCT coalesce(q.id, d.id)::text, ',') FILTER (WHERE coalesce(q.fifo, d.fifo)), '') AS queues
      FROM subscriptions s
      LEFT JOIN queues q ON q.id = s.queue_id AND q.account = s.account
      LEFT JOIN queues d ON d.id = s.dead_letter_queue_id AND d.account = s.account AND s.queue_id IS NULL
      WHERE s.topic_id = ${topicId}::bigint`,
  ]);
  const first = rows[0];
  if (!first || !targets) return undefined;
  const batches = rows.slice(0, endOfRun(rows, targets.count));
  return {
    topicId,
    account: first.account,
    batches: batches.map(({ batch_id, sequence, group_ids }) => ({
      batchId: batch_id,
      sequence,
      groupIds: [...new Set(group_ids.split(" "))],
    })),
    filterIds: idsOf(targets.filters),
    fifoQueueIds: idsOf(targets.queues),
  };
}

/**
 * How many of the batches from the first one on go together: none that the topic took five minutes after another one,
 * since a queue may have ids of both.
 */
function endOfRun(rows: readonly WaitingRow[], queues: number): number {
  let deliveries = 0;
  let [earliest, latest] = [Infinity, -Infinity];
  const end = rows.findIndex(({ message_count, sent_at }, index) => {
    deliveries += message_count * queues;
    earliest = Math.min(earliest, sent_at);
    latest = Math.max(latest, sent_at);
    return (
      index > 0 && (deliveries > MAX_DELIVERIES || latest - earliest >= DEDUPLICATION_INTERVAL)
    );
  });
  return end < 0 ? rows.length : end;
}

/**
 * Fans out batches of a FIFO topic that wait in front, in one transaction: those of them that still do.
 *
 * - One dispatcher at a time, by a lock on the topic. What was found in front is a run of sequences without a gap,
 *   since their order is that of commits, and all are taken in this order: so what is left of it when the lock is there
 *   is in front again.
 * - Then the FIFO queues and their groups are locked, as by a send; what reaches a queue gets its place there, in the
 *   order of the topic, and is a duplicate where the queue knows its id. Whoever comes second and finds nothing left
 *   locks none of them: receives skip groups that are locked, and sends wait for them.
 * - Subscriptions are joined here. When they have other filters or other FIFO queues than those that were evaluated and
 *   locked, nothing is taken, and the caller looks again.
 * - The commit is flushed, unlike others of a dispatcher: this process remembers up to where all is fanned out (see
 *   {@link findOrdered}), and a crash of Postgres that took the commit back would have it skip what then waits again,
 *   and fan out what comes later before it.
 * - Where the topic has an archive, it gets the batches with what this statement sees, as in {@link takeBatches}. A
 *   clock that was set back does not turn its order: no time there is before that of the last batch, and the sequence
 *   tells the rest.
 *
 * @param masks - For each batch, for each filter: the accepted messages, a bit each.
 */
export async function takeOrdered(
  sql: Sql,
  found: OrderedBatches,
  masks: readonly bigint[],
): Promise<TakenOrdered> {
  const groupIds = [...new Set(found.batches.flatMap((batch) => batch.groupIds))];
  const groups = found.fifoQueueIds.flatMap((queueId) =>
    groupIds.map((groupId) => ({ queueId, groupId })),
  );
  const rows = await sql.begin(async (tx) => {
    const [, , , , , taken] = await Promise.all([
      flushCommit(tx),
      limitWaits(tx),
      lockFanOut(tx, found.topicId),
      lockQueues(tx, found.fifoQueueIds, { onlyIf: stillWaits(tx, found) }),
      lockGroups(tx, groups, { onlyIf: stillWaits(tx, found) }),
      take(tx, found, masks),
    ]);
    return taken;
  });
  const result: TakenOrdered = { batches: 0, deliveries: 0, queueIds: [] };
  for (const { queue_id, count } of rows) {
    if (queue_id === null) result.batches = count;
    else {
      result.deliveries += count;
      result.queueIds.push(queue_id);
    }
  }
  return result;
}

/**
 * SQL: whether anything is left of what was found. The fan-out of the topic is locked by then, so it will stay, and
 * what is gone does not come back.
 */
function stillWaits(tx: Transaction, { batches }: OrderedBatches) {
  return tx`EXISTS (SELECT FROM outbox WHERE batch_id = ANY(${numbers(batches.map((batch) => batch.batchId))}::bigint[]))`;
}

/** Awaits its statement by itself, as the others do: a bare one would be sent after theirs. */
async function flushCommit(tx: Transaction): Promise<void> {
  await tx`SELECT set_config('synchronous_commit', 'on', true)`;
}

async function take(
  tx: Transaction,
  { topicId, account, batches, filterIds, fifoQueueIds }: OrderedBatches,
  masks: readonly bigint[],
): Promise<TakenRow[]> {
  return await tx<TakenRow[]>`
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    targets AS MATERIALIZED (
      SELECT s.id AS subscription_id, s.filter_id, array_position(${numbers(filterIds)}::bigint[], s.filter_id) AS filter,
             coalesce(q.id, d.id) AS queue_id, coalesce(q.fifo, d.fifo) AS fifo, coalesce(q.delay, 0) AS delay,
             q.delay >= q.retention AS outlives_retention,
             coalesce(q.deduplication_scope, d.deduplication_scope) AS deduplication_scope,
             CASE WHEN NOT s.raw_delivery THEN ${envelopeFor(tx, tx`t`)} END AS envelope,
             CASE WHEN q.id IS NULL THEN 'the queue "' || s.deleted_queue || '" was deleted' END AS failure_reason
      FROM subscriptions s
      JOIN topics t ON t.id = s.topic_id
      LEFT JOIN queues q ON q.id = s.queue_id AND q.account = s.account
      LEFT JOIN queues d ON d.id = s.dead_letter_queue_id AND d.account = s.account AND s.queue_id IS NULL
      WHERE s.topic_id = ${topicId}::bigint AND s.account = ${account}::bigint
    ), prepared AS MATERIALIZED (
      SELECT coalesce(array_agg(DISTINCT filter_id) FILTER (WHERE filter_id IS NOT NULL), '{}') = ${numbers(filterIds)}::bigint[]
             AND coalesce(bool_and(queue_id = ANY(${numbers(fifoQueueIds)}::bigint[])) FILTER (WHERE fifo), true) AS so
      FROM targets
    ), taken AS MATERIALIZED (
      DELETE FROM outbox o
      USING unnest(${numbers(batches.map((batch) => batch.batchId))}::bigint[]) WITH ORDINALITY AS g(batch_id, place)
      WHERE o.batch_id = g.batch_id AND o.topic_id = ${topicId}::bigint AND (SELECT so FROM prepared)
      RETURNING o.batch_id, o.account, o.sent_at, o.sequence, o.message_bits, o.message_ids, o.message_group_ids,
                o.deduplication_ids, g.place
    ), archived AS (
      INSERT INTO archived_batches (topic_id, account, published_at, place, batch_id, message_count, group_ids, group_masks, fanned_out)
      SELECT ${topicId}::bigint, t.account, greatest(archive.archived_since, last.published_at, max(t.sent_at) OVER (ORDER BY t.sequence)), t.sequence,
             t.batch_id, cardinality(t.message_bits), g.ids, g.masks, pg_current_snapshot()
      FROM topics archive
      CROSS JOIN taken t
      LEFT JOIN LATERAL (
        SELECT a.published_at FROM archived_batches a WHERE a.topic_id = archive.id AND a.published_at >= archive.archived_since
        ORDER BY a.topic_id DESC, a.published_at DESC, a.place DESC LIMIT 1
      ) last ON true
      CROSS JOIN LATERAL (
        SELECT array_agg(of.group_id) AS ids, array_agg(of.mask) AS masks FROM (
          SELECT m.group_id, bit_or(1::bigint << m.bit) AS mask FROM unnest(t.message_bits, t.message_group_ids) AS m(bit, group_id)
          GROUP BY m.group_id
        ) of
      ) g
      WHERE archive.id = ${topicId}::bigint AND archive.account = ${account}::bigint AND archive.archived_since IS NOT NULL
    ), accepted AS (
      -- A bit for each message; null is all of them.
      SELECT t.*, x.*, clock.now + make_interval(secs => x.delay) AS visible_at, x.delay > 0 AS delayed,
             (${numbers(masks)}::bigint[])[(t.place - 1) * ${filterIds.length}::int + x.filter] AS mask
      FROM taken t CROSS JOIN targets x CROSS JOIN clock WHERE x.queue_id IS NOT NULL
    ), each AS MATERIALIZED (
      SELECT a.queue_id, a.fifo, a.account, a.batch_id, a.sequence AS topic_sequence, a.sent_at, a.visible_at, a.delayed,
             CASE WHEN a.outlives_retention THEN a.visible_at ELSE a.sent_at END AS kept_from,
             a.subscription_id, a.mask IS NULL OR a.mask >> m.bit & 1 = 1 AS accepted, a.failure_reason,
             a.envelope || '#' || a.sequence || CASE WHEN a.outlives_retention THEN '/' || floor(extract(epoch FROM a.sent_at) * 1000) ELSE '' END AS envelope,
             m.bit, m.message_id, m.group_id, m.deduplication_id,
             CASE a.deduplication_scope WHEN 'messageGroup' THEN m.group_id ELSE '' END AS scope
      FROM accepted a
      CROSS JOIN LATERAL unnest(a.message_bits, a.message_ids, a.message_group_ids, a.deduplication_ids)
        AS m(bit, message_id, group_id, deduplication_id)
    ), messages AS MATERIALIZED (
      -- Where a queue gets a message twice, as that of a subscription and as a dead letter of another, the former comes first.
      SELECT row_number() OVER (ORDER BY queue_id, topic_sequence, failure_reason NULLS FIRST, envelope, bit) AS n,
             account, queue_id, batch_id, bit, message_id, group_id, scope, deduplication_id, sent_at, kept_from, visible_at, delayed,
             envelope, failure_reason, NULL::timestamptz AS published_at, '' AS key, 0 AS message_count, subscription_id
      FROM each WHERE fifo AND accepted
    ), ${fifoDeliveries(tx, { isLate: true })}, sliced AS (
      INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, group_id, moved, envelope, source_queue_id, failure_reason)
      SELECT queue_id, visible_at, batch_id, bit_or(1::bigint << bit), account, kept_from, group_id, delayed, envelope, ${deletedSource(tx)},
             failure_reason
      FROM each WHERE NOT fifo AND accepted
      GROUP BY queue_id, visible_at, batch_id, topic_sequence, account, kept_from, group_id, delayed, envelope, failure_reason
      ORDER BY queue_id, topic_sequence
      RETURNING account, queue_id, pending, visible_at, moved
    ), ${delivered(tx)}, events AS (
      ${recordEvents(tx, "each its own", fannedOut(tx, topicId), ["topic", "subscription", "sequence", "visibleAt"])}
    )
    SELECT queue_id, messages AS count FROM delivered
    UNION ALL
    SELECT queue_id, count(*)::int FROM numbered WHERE fresh GROUP BY queue_id
    UNION ALL
    SELECT NULL, count(*)::int FROM taken`;
}

/**
 * SQL: what went to a queue, and what a filter kept from it; also batches of topics without subscriptions, so that
 * somebody knows of them as well.
 */
function fannedOut(tx: Transaction, topicId: string) {
  return tx`(
        SELECT ${topicId}::bigint AS topic_id, e.* FROM (
          SELECT 'fannedOut' AS kind, account, batch_id, subscription_id, queue_id, bit_or(1::bigint << bit) AS mask, sequence,
                 NULL::timestamptz AS visible_at
          FROM numbered WHERE fresh GROUP BY account, batch_id, subscription_id, queue_id, sequence
          UNION ALL
          SELECT CASE WHEN accepted THEN 'fannedOut' ELSE 'refused' END, account, batch_id, subscription_id, queue_id,
                 bit_or(1::bigint << bit), NULL, CASE WHEN accepted THEN visible_at END
          FROM each WHERE NOT (fifo AND accepted) GROUP BY accepted, account, batch_id, subscription_id, queue_id, visible_at
          UNION ALL
          SELECT 'refused', account, batch_id, NULL, NULL, (SELECT bit_or(1::bigint << bit) FROM unnest(message_bits) bit), NULL, NULL
          FROM taken WHERE NOT EXISTS (SELECT FROM targets)
        ) e)`;
}

interface WaitingRow {
  batch_id: string;
  account: string;
  /** In seconds. */
  sent_at: number;
  sequence: string;
  message_count: number;
  group_ids: string;
}

interface TakenRow {
  queue_id: string | null;
  count: number;
}

/** Ascending as numbers. */
function idsOf(list: string): string[] {
  return list === "" ? [] : list.split(",").sort((a, b) => Number(a) - Number(b));
}

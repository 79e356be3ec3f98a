import { numbers, texts, type Sql } from "@sluice/database";

import { recordEvents } from "../trace/record-events.ts";

/** Archived batches that come next in a replay, and what they are to be looked at with. */
export interface ReplayPage {
  replayId: string;
  /** The last batch that was done before; null before the first one. */
  doneBatchId: string | null;
  filterId: string | null;
  batches: { batchId: string; publishedAt: string }[];
  /** Nothing comes after these. */
  last: boolean;
}

export interface DeliverResult {
  /** Messages put into the queue by this step. */
  messages: number;
  queueIds: string[];
  /** More to deliver at once: the step was cut off by its size, not by the rate or the end. */
  more: boolean;
}

/** Batches of one page; with a filter the payload of each is read, up to 256 KiB. */
const PAGE = 500;
const FILTERED_PAGE = 32;

/**
 * The replays that can go on: all those that were taken up, once everything that was published until then is fanned out.
 *
 * From then on nothing appears any more in the part of the archive that a replay reads, for a replay that came with its
 * subscription: whatever was fanned out without seeing the subscription was in the outbox, or in the archive, when the replay
 * was taken up, since that came after the commit of the subscription.
 */
export async function runningReplays(sql: Sql): Promise<string[]> {
  await sql`UPDATE replays SET started_at = clock_timestamp() WHERE status = 'running' AND started_at IS NULL`;
  const rows = await sql<{ id: string }[]>`
    SELECT r.id FROM replays r
    WHERE r.status = 'running' AND r.started_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM outbox o
                      WHERE o.topic_id = r.topic_id AND o.account = r.account AND o.sent_at <= r.started_at)
    ORDER BY r.id`;
  return rows.map((row) => row.id);
}

/** What comes next in the order of publishing; undefined when the replay has ended. */
export async function nextPage(sql: Sql, replayId: string): Promise<ReplayPage | undefined> {
  const rows = await sql<PageRow[]>`
    SELECT r.done_batch_id, s.filter_id, a.batch_id, a.published_at::text AS published_at
    FROM replays r
    JOIN subscriptions s ON s.id = r.subscription_id AND s.account = r.account
    LEFT JOIN LATERAL (
      SELECT a.published_at, a.batch_id FROM archived_batches a
      WHERE a.topic_id = r.topic_id AND a.account = r.account
        AND (a.published_at, a.batch_id) >= (r.start_at, r.start_batch_id)
        AND (a.published_at, a.batch_id) > (coalesce(r.done_at, '-infinity'), coalesce(r.done_batch_id, 0))
        AND (a.published_at, a.batch_id) <= (r.end_at, r.end_batch_id)
        AND a.published_at <= r.started_at
        -- Of an archive that was switched off meanwhile nothing is left, also where it was not yet removed.
        AND a.published_at >= (SELECT t.archived_since FROM topics t WHERE t.id = r.topic_id)
        AND (r.subscribed_by IS NULL OR NOT pg_visible_in_snapshot(r.subscribed_by, a.fanned_out))
      ORDER BY a.published_at, a.batch_id
      LIMIT CASE WHEN s.filter_id IS NULL THEN ${PAGE}::int ELSE ${FILTERED_PAGE}::int END
    ) a ON true
    WHERE r.id = ${replayId}::uuid AND r.status = 'running'
    ORDER BY a.published_at, a.batch_id`;
  const [first] = rows;
  if (!first) return undefined;
  const batches = rows.flatMap(({ batch_id, published_at }) =>
    batch_id === null || published_at === null
      ? []
      : [{ batchId: batch_id, publishedAt: published_at }],
  );
  return {
    replayId,
    doneBatchId: first.done_batch_id,
    filterId: first.filter_id,
    batches,
    last: batches.length < (first.filter_id === null ? PAGE : FILTERED_PAGE),
  };
}

/**
 * Delivers a page, in one statement: the slices are in the queue and the replay has moved on, or neither. Another
 * dispatcher that is at the same replay, or has moved it on, makes this one do nothing.
 *
 * - The masks say what the filter accepts; they count only while the subscription has that very filter. Otherwise nothing is
 *   done, and the next page is looked at with the other one.
 * - The batches are locked against the clean-up of the archive, until their slices keep the payload: at no time does nothing
 *   refer to it.
 * - The rate bounds what has been delivered since the start; batches go whole, as soon as the rate has made room for them.
 * - The retention of what is replayed starts anew. Where the queue was deleted, the subscription's dead-letter queue gets it.
 */
export async function deliverPage(
  sql: Sql,
  page: ReplayPage,
  masks: readonly bigint[],
): Promise<DeliverResult> {
  const rows = await sql<{ queue_id: string | null; messages: number; batches: number }[]>`
    WITH replay AS MATERIALIZED (
      SELECT r.*, clock_timestamp() AS now,
             coalesce(r.rate * extract(epoch FROM clock_timestamp() - r.started_at), 9e15)::float8 - r.replayed AS budget
      FROM replays r
      WHERE r.id = ${page.replayId}::uuid AND r.status = 'running' AND r.done_batch_id IS NOT DISTINCT FROM ${page.doneBatchId}::bigint
      FOR UPDATE OF r SKIP LOCKED
    ), target AS MATERIALIZED (
      SELECT coalesce(q.id, d.id) AS queue_id, coalesce(q.delay, 0) AS delay, q.has_tenants,
             CASE WHEN NOT s.raw_delivery THEN (SELECT name FROM topics WHERE id = s.topic_id) || '/' || s.id END AS envelope,
             CASE WHEN q.id IS NULL THEN 'the queue "' || s.deleted_queue || '" was deleted' END AS failure_reason
      FROM replay r
      JOIN subscriptions s ON s.id = r.subscription_id AND s.account = r.account
      LEFT JOIN queues q ON q.id = s.queue_id AND q.account = r.account
      LEFT JOIN queues d ON d.id = s.dead_letter_queue_id AND d.account = r.account AND s.queue_id IS NULL
      WHERE s.filter_id IS NOT DISTINCT FROM ${page.filterId}::bigint
    ), kept AS MATERIALIZED (
      SELECT a.published_at, a.batch_id, a.account, a.group_ids, a.group_masks,
             9223372036854775807 >> (63 - a.message_count) & p.mask AS mask
      FROM unnest(
        ${numbers(page.batches.map((batch) => batch.batchId))}::bigint[],
        ${texts(page.batches.map((batch) => batch.publishedAt))}::text[],
        ${numbers(masks)}::bigint[]
      ) AS p(batch_id, published_at, mask)
      JOIN archived_batches a ON a.topic_id = (SELECT topic_id FROM replay)
        AND a.published_at = p.published_at::timestamptz AND a.batch_id = p.batch_id
      ORDER BY a.published_at, a.batch_id FOR KEY SHARE OF a
    ), accepted AS (
      SELECT k.*, k.mask
             & CASE WHEN k.batch_id = r.start_batch_id THEN -1::bigint << r.start_bit ELSE -1 END
             & CASE WHEN k.batch_id = r.end_batch_id THEN 9223372036854775807 >> (62 - r.end_bit) ELSE -1 END AS bits
      FROM kept k, replay r WHERE EXISTS (SELECT FROM target)
    ), counted AS (
      SELECT *, sum(bit_count(bits::bit(64))) OVER (ORDER BY published_at, batch_id ROWS UNBOUNDED PRECEDING) AS upto
      FROM accepted
    ), taken AS MATERIALIZED (
      SELECT c.*, r.now FROM counted c, replay r WHERE c.upto <= r.budget
    ), sliced AS (
      INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, group_id, moved, envelope, failure_reason, published_at)
      SELECT target.queue_id, clock_timestamp() + make_interval(secs => target.delay), t.batch_id, t.bits & coalesce(g.mask, -1),
             t.account, t.now, coalesce(g.group_id, CASE WHEN target.has_tenants THEN '' END), target.delay > 0, target.envelope, target.failure_reason, t.published_at
      FROM taken t CROSS JOIN target
      LEFT JOIN LATERAL unnest(t.group_ids, t.group_masks) AS g(group_id, mask) ON true
      WHERE t.bits & coalesce(g.mask, -1) > 0 AND target.queue_id IS NOT NULL
      ORDER BY t.published_at, t.batch_id
      RETURNING account, queue_id, batch_id, pending, visible_at, moved
    ), delivered AS (
      SELECT account, queue_id, sum(bit_count(pending::bit(64)))::int AS messages FROM sliced GROUP BY account, queue_id
    ), ledger AS (
      INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
      SELECT account, queue_id, 'sent', messages, NULL FROM delivered
      UNION ALL
      SELECT account, queue_id, 'delayed', sum(bit_count(pending::bit(64))), date_trunc('minute', visible_at)
      FROM sliced WHERE moved GROUP BY account, queue_id, date_trunc('minute', visible_at)
    ), events AS (
      ${recordEvents(sql, "replayed", replayed(sql), ["topic", "subscription", "visibleAt"])}
    ), done AS (
      SELECT EXISTS (SELECT FROM target) AND ${page.last}::boolean
             AND (SELECT count(*) FROM taken) = (SELECT count(*) FROM accepted) AS all_done
    ), recorded AS (
      UPDATE replays r
      SET replayed = r.replayed + coalesce((SELECT sum(messages) FROM delivered), 0),
          done_at = coalesce((SELECT published_at FROM taken ORDER BY published_at DESC, batch_id DESC LIMIT 1), r.done_at),
          done_batch_id = coalesce((SELECT batch_id FROM taken ORDER BY published_at DESC, batch_id DESC LIMIT 1), r.done_batch_id),
          status = CASE WHEN done.all_done THEN 'completed' ELSE r.status END,
          finished_at = CASE WHEN done.all_done THEN replay.now END
      FROM replay, done WHERE r.id = replay.id AND (done.all_done OR EXISTS (SELECT FROM taken))
    )
    SELECT queue_id, messages, 0 AS batches FROM delivered
    UNION ALL
    SELECT NULL, 0, count(*)::int FROM taken`;
  const delivered = rows.filter((row) => row.queue_id !== null);
  const taken = rows.reduce((sum, row) => sum + row.batches, 0);
  return {
    messages: delivered.reduce((sum, row) => sum + row.messages, 0),
    queueIds: delivered.map((row) => row.queue_id ?? ""),
    more: !page.last && taken === page.batches.length,
  };
}

/** SQL: what the replay delivered. */
function replayed(sql: Sql) {
  return sql`(
        SELECT sliced.account, queue_id, batch_id, pending AS mask, visible_at, r.topic_id, r.subscription_id
        FROM sliced, replay r)`;
}

interface PageRow {
  done_batch_id: string | null;
  filter_id: string | null;
  batch_id: string | null;
  published_at: string | null;
}

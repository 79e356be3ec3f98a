import type { Sql } from "@sluice/database";

/** Archived batches that come next in a replay, and what they are to be looked at with. */
export interface ReplayPage {
  replayId: string;
  /** Place of the last batch that was done before; null before the first one. */
  donePlace: string | null;
  filterId: string | null;
  /** Where it goes, when that is a FIFO queue. */
  fifoQueueId: string | null;
  batches: ArchivedBatch[];
  /** Nothing comes after these. */
  last: boolean;
}

interface ArchivedBatch {
  batchId: string;
  publishedAt: string;
  place: string;
  /** For a FIFO queue: the groups of its messages. */
  groupIds: string[];
}

/** Batches of one page. */
const PAGE = 500;
/** With a filter the payload of each is read, up to 256 KiB. */
const FILTERED_PAGE = 32;
/** To a FIFO queue, message by message, while nobody else can send to it. */
const FIFO_PAGE = 64;

/**
 * The replays that can go on: all those that were taken up, once everything that was published until then is fanned
 * out.
 *
 * From then on nothing appears any more in the part of the archive that a replay reads, for a replay that came with its
 * subscription: whatever was fanned out without seeing the subscription was in the outbox, or in the archive, when the
 * replay was taken up, since that came after the commit of the subscription.
 */
export async function runningReplays(sql: Sql): Promise<{ id: string; account: string }[]> {
  await takeUp(sql);
  return await sql<{ id: string; account: string }[]>`
    WITH running AS MATERIALIZED (
      SELECT r.id, r.account, r.topic_id, reads.until AS reads_until, least(reads.until, r.started_at + ${GRACE}::interval) AS waits_until
      FROM replays r CROSS JOIN LATERAL (SELECT ${readsUntil(sql)} AS until) reads
      WHERE r.status = 'running' AND r.started_at IS NOT NULL
    ), waiting AS MATERIALIZED (
      -- One look for all: of standard topics the index tells the time alone, so each replay by itself would pass what waits of others.
      SELECT topic_id, account, min(sent_at) AS first, min(sent_at) FILTER (WHERE sent_at > (SELECT clock_timestamp())) AS ahead
      FROM outbox WHERE sequence IS NULL AND sent_at <= (SELECT max(reads_until) FROM running) GROUP BY topic_id, account
    )
    SELECT r.id, r.account FROM running r
    LEFT JOIN waiting w ON w.topic_id = r.topic_id AND w.account = r.account
    WHERE coalesce(w.first > r.waits_until, true)
      AND NOT EXISTS (SELECT FROM outbox o
                      WHERE o.topic_id = r.topic_id AND o.account = r.account AND o.sent_at <= r.waits_until AND o.sequence IS NOT NULL)
      -- From before a clock was set back. What is published since is not: a busy topic would be waited for until its clock is there again.
      AND coalesce(w.ahead > r.reads_until, true)
      AND NOT EXISTS (SELECT FROM outbox o
                      WHERE o.topic_id = r.topic_id AND o.account = r.account
                        AND o.sent_at > (SELECT clock_timestamp()) AND o.sent_at <= r.reads_until AND o.sequence IS NOT NULL)
    ORDER BY r.id`;
}

/** How long a fan-out may be under way that a small step back of a clock has put ahead of it. */
const GRACE = "10 seconds";

/**
 * From here on a replay reads up to the time that it is now. One that came with its subscription also reads what is
 * ahead of that, where a clock was set back: it gets an end then, at the last of what is there.
 */
async function takeUp(sql: Sql): Promise<void> {
  await sql`
    UPDATE replays r
    SET started_at = clock.now,
        end_at = CASE WHEN r.subscribed_by IS NULL OR (r.end_at = 'infinity' AND last.at <= clock.now) THEN r.end_at
                 ELSE least(r.end_at, last.at) END
    FROM replays of CROSS JOIN (SELECT clock_timestamp() AS now) clock
    CROSS JOIN LATERAL (
      SELECT greatest(clock.now, (SELECT t.archived_since FROM topics t WHERE t.id = of.topic_id),
                      (SELECT max(a.published_at) FROM archived_batches a WHERE a.topic_id = of.topic_id),
                      (SELECT max(o.sent_at) FROM outbox o WHERE o.topic_id = of.topic_id AND o.sent_at > clock.now AND o.sequence IS NULL),
                      (SELECT max(o.sent_at) FROM outbox o WHERE o.topic_id = of.topic_id AND o.sequence IS NOT NULL)) AS at
    ) last
    WHERE r.id = of.id AND of.status = 'running' AND of.started_at IS NULL AND r.status = 'running' AND r.started_at IS NULL`;
}

/** SQL: up to when replay `r` reads. */
function readsUntil(sql: Sql) {
  return sql`CASE WHEN r.end_at < 'infinity' THEN r.end_at ELSE r.started_at END`;
}

/**
 * What comes next: in the order of publishing, which in a FIFO topic is that of its sequences. Undefined when the
 * replay has ended.
 */
export async function nextPage(sql: Sql, replayId: string): Promise<ReplayPage | undefined> {
  const rows = await sql<PageRow[]>`
    WITH replay AS MATERIALIZED (
      SELECT r.*, s.filter_id, CASE WHEN coalesce(q.fifo, d.fifo) THEN coalesce(q.id, d.id) END AS fifo_queue_id, t.archived_since,
             greatest(coalesce(r.done_at, r.start_at), t.archived_since) AS next_at,
             CASE WHEN t.archived_since > coalesce(r.done_at, r.start_at) THEN 0 ELSE coalesce(r.done_place + 1, r.start_place) END AS next_place
      FROM replays r
      JOIN subscriptions s ON s.id = r.subscription_id AND s.account = r.account
      LEFT JOIN topics t ON t.id = r.topic_id
      LEFT JOIN queues q ON q.id = s.queue_id AND q.account = r.account
      LEFT JOIN queues d ON d.id = s.dead_letter_queue_id AND d.account = r.account AND s.queue_id IS NULL
      WHERE r.id = ${replayId}::uuid AND r.status = 'running'
    ), size AS MATERIALIZED (
      SELECT least(${PAGE}::int, CASE WHEN filter_id IS NOT NULL THEN ${FILTERED_PAGE}::int END,
                   CASE WHEN fifo_queue_id IS NOT NULL THEN ${FIFO_PAGE}::int END,
                   -- No more than its rate has room for within a second: a step locks all of its page, and of a FIFO queue
                   -- their groups. (A filter may accept nothing of them.)
                   CASE WHEN filter_id IS NULL THEN
                     1 + ceil(rate + greatest(0, rate * extract(epoch FROM clock_timestamp() - started_at) - replayed)) END)::int AS batches
      FROM replay
    )
    SELECT r.done_place, r.filter_id, r.fifo_queue_id, size.batches AS size, a.batch_id, a.published_at::text AS published_at, a.place,
           CASE WHEN r.fifo_queue_id IS NOT NULL THEN array_to_string(a.group_ids, ' ') END AS group_ids
    FROM replay r CROSS JOIN size
    LEFT JOIN LATERAL (
      SELECT a.published_at, a.place, a.batch_id, a.group_ids FROM archived_batches a
      WHERE a.topic_id = r.topic_id AND a.account = r.account
        -- One place to begin at: of several a scan takes the first one, and would pass all that is done again for each page.
        AND (a.published_at, a.place) >= (r.next_at, r.next_place)
        AND (a.published_at, a.place) <= (r.end_at, r.end_place)
        AND a.published_at <= ${readsUntil(sql)}
        -- Of an archive that was switched off meanwhile nothing is left, also where it was not yet removed.
        AND r.archived_since IS NOT NULL
        AND (r.subscribed_by IS NULL OR NOT pg_visible_in_snapshot(r.subscribed_by, a.fanned_out) OR ${isRestored(sql)})
      ORDER BY a.topic_id, a.published_at, a.place
      LIMIT (SELECT batches FROM size)
    ) a ON true
    ORDER BY a.published_at, a.place`;
  const [first] = rows;
  if (!first) return undefined;
  const batches = rows.flatMap(batchOf);
  return {
    replayId,
    donePlace: first.done_place,
    filterId: first.filter_id,
    fifoQueueId: first.fifo_queue_id,
    batches,
    last: batches.length < first.size,
  };
}

/**
 * SQL: the row of an archived batch `a` came out of a dump of another cluster, whose snapshots tell nothing about
 * transactions of this one: its snapshot is of the future, or was when the row was written, since the oldest of what
 * runs is no younger than who writes.
 */
function isRestored(sql: Sql) {
  return sql`(pg_snapshot_xmax(a.fanned_out) > pg_snapshot_xmax(pg_current_snapshot())
              OR age(pg_snapshot_xmin(a.fanned_out)::xid) < age(a.xmin))`;
}

interface PageRow {
  done_place: string | null;
  filter_id: string | null;
  fifo_queue_id: string | null;
  size: number;
  /** Null in the one row of a page that is empty. */
  batch_id: string | null;
  published_at: string | null;
  place: string | null;
  /** Parted by spaces, which no group id has. */
  group_ids: string | null;
}

function batchOf({ batch_id, published_at, place, group_ids }: PageRow): ArchivedBatch[] {
  if (batch_id === null || published_at === null || place === null) return [];
  const groupIds = group_ids ? group_ids.split(" ") : [];
  return [{ batchId: batch_id, publishedAt: published_at, place, groupIds }];
}

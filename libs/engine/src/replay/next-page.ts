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
      -- Each by the index of its kind: whatever else waits, of other topics or sent later, is not read.
      AND NOT EXISTS (SELECT FROM outbox o
                      WHERE o.topic_id = r.topic_id AND o.account = r.account AND o.sent_at <= r.started_at AND o.sequence IS NULL)
      AND NOT EXISTS (SELECT FROM outbox o
                      WHERE o.topic_id = r.topic_id AND o.account = r.account AND o.sent_at <= r.started_at AND o.sequence IS NOT NULL)
    ORDER BY r.id`;
  return rows.map((row) => row.id);
}

/**
 * What comes next: in the order of publishing, which in a FIFO topic is that of its sequences. Undefined when the replay has
 * ended.
 */
export async function nextPage(sql: Sql, replayId: string): Promise<ReplayPage | undefined> {
  const rows = await sql<PageRow[]>`
    WITH replay AS MATERIALIZED (
      SELECT r.*, s.filter_id, CASE WHEN coalesce(q.fifo, d.fifo) THEN coalesce(q.id, d.id) END AS fifo_queue_id
      FROM replays r
      JOIN subscriptions s ON s.id = r.subscription_id AND s.account = r.account
      LEFT JOIN queues q ON q.id = s.queue_id AND q.account = r.account
      LEFT JOIN queues d ON d.id = s.dead_letter_queue_id AND d.account = r.account AND s.queue_id IS NULL
      WHERE r.id = ${replayId}::uuid AND r.status = 'running'
    ), size AS MATERIALIZED (
      SELECT least(${PAGE}::int, CASE WHEN filter_id IS NOT NULL THEN ${FILTERED_PAGE}::int END,
                   CASE WHEN fifo_queue_id IS NOT NULL THEN ${FIFO_PAGE}::int END) AS batches
      FROM replay
    )
    SELECT r.done_place, r.filter_id, r.fifo_queue_id, size.batches AS size, a.batch_id, a.published_at::text AS published_at, a.place,
           CASE WHEN r.fifo_queue_id IS NOT NULL THEN array_to_string(a.group_ids, ' ') END AS group_ids
    FROM replay r CROSS JOIN size
    LEFT JOIN LATERAL (
      SELECT a.published_at, a.place, a.batch_id, a.group_ids FROM archived_batches a
      WHERE a.topic_id = r.topic_id AND a.account = r.account
        AND (a.published_at, a.place) >= (r.start_at, r.start_place)
        AND (a.published_at, a.place) > (coalesce(r.done_at, '-infinity'), coalesce(r.done_place, 0))
        AND (a.published_at, a.place) <= (r.end_at, r.end_place)
        AND a.published_at <= r.started_at
        -- Of an archive that was switched off meanwhile nothing is left, also where it was not yet removed.
        AND a.published_at >= (SELECT t.archived_since FROM topics t WHERE t.id = r.topic_id)
        AND (r.subscribed_by IS NULL OR NOT pg_visible_in_snapshot(r.subscribed_by, a.fanned_out))
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

import type { Sql } from "@sluice/database";

/** One slice as a receive got it. */
export interface ClaimedSlice {
  batchId: string;
  /** The messages claimed, a bit each. */
  mask: bigint;
  lease: string;
  /** When it becomes visible again, in ms since the epoch by the database clock. */
  visibleAt: number;
  sentAt: number;
  firstReceivedAt: number;
  receiveCount: number;
  /** Of a dead letter: where it came from and why. */
  deadLetter: { sourceQueueId: string; reason: string } | undefined;
  /** `<topic>/<subscription>` when it is handed out inside a notification. */
  envelope: string | undefined;
}

export interface Claim {
  slices: ClaimedSlice[];
  /** Messages that had been received too often, and went to this dead-letter queue instead. */
  deadLetters: { queueId: string; messages: number } | undefined;
  /** Where nothing was claimed: milliseconds until the first message will be visible, undefined when the queue is empty. */
  dueIn: number | undefined;
}

export interface ClaimRequest {
  queueId: string;
  account: string;
  /** Most messages to claim. */
  max: number;
  /** Most slices to look at. */
  slices: number;
  /** Seconds; the queue's own when undefined. */
  visibilityTimeout: number | undefined;
}

/**
 * Claims visible slices of a queue, oldest first, whole where they fit; skips those that another claim is taking.
 *
 * - The clock is Postgres' own, read once as the claim starts. A deadline is rounded up to whole milliseconds, so that
 *   it passes through a receipt handle unchanged and is never short of the timeout.
 * - A slice that does not fit is split only when less than half of what was asked for fits whole: a split is a row more
 *   to write and to acknowledge, and receives of 1,000 out of slices of 63 would otherwise split every time.
 * - Messages past the queue's retention are not handed out, whenever the clean-up gets to them.
 * - A slice whose receive count would pass the queue's `maxReceiveCount` goes to the dead-letter queue instead, whole, in
 *   this same statement: one update of one row, so it is never in both or in neither. The dead-letter queue is locked
 *   against deletion while that happens: a slice moved into a queue that is being deleted would be lost. Where it is gone,
 *   messages are received again.
 * - Each slice has a lease of its own: a dead-letter queue that two queues of one topic share holds the same batch twice,
 *   and the handles of the two must differ.
 * - A claim that finds nothing says when there will be something, so that whoever waits needs no second query.
 */
export async function claim(sql: Sql, request: ClaimRequest): Promise<Claim> {
  const { queueId, account, max, slices, visibilityTimeout } = request;
  const rows = await sql<(ClaimRow | DeadRow | DueRow)[]>`
    WITH queue AS MATERIALIZED (
      SELECT clock_timestamp() AS now, retention, paused, dead_letter_queue_id, nextval('lease_ids') AS lease,
             CASE WHEN EXISTS (SELECT FROM queues d WHERE d.id = queues.dead_letter_queue_id)
               THEN max_receive_count ELSE 2147483647 END AS max_receive_count,
             date_trunc('milliseconds', clock_timestamp()) + interval '1 millisecond'
               + make_interval(secs => coalesce(${visibilityTimeout ?? null}::int, visibility_timeout)) AS deadline
      FROM queues WHERE id = ${queueId}::bigint AND account = ${account}::bigint
    ), visible AS (
      SELECT ctid AS row, pending, visible_at, batch_id,
             receive_count >= (SELECT max_receive_count FROM queue) AS exhausted
      FROM slices
      WHERE queue_id = ${queueId}::bigint AND account = ${account}::bigint
        AND visible_at <= (SELECT now FROM queue)
        AND sent_at > (SELECT now - make_interval(secs => retention) FROM queue)
        AND NOT (SELECT paused FROM queue)
      ORDER BY visible_at, batch_id
      LIMIT ${slices}::int
      FOR UPDATE SKIP LOCKED
    ), counted AS (
      SELECT row, pending, bit_count(pending::bit(64)) AS messages,
             sum(bit_count(pending::bit(64))) OVER (ORDER BY visible_at, batch_id ROWS UNBOUNDED PRECEDING) AS upto
      FROM visible WHERE NOT exhausted
    ), dead_letter_queue AS MATERIALIZED (
      SELECT id FROM queues
      WHERE id = (SELECT dead_letter_queue_id FROM queue) AND EXISTS (SELECT FROM visible WHERE exhausted)
      FOR KEY SHARE
    ), dead AS (
      UPDATE slices s
      SET queue_id = dead_letter_queue.id, visible_at = queue.now, lease = 0, receive_count = 0, moved = false,
          first_received_at = NULL, source_queue_id = s.queue_id,
          failure_reason = coalesce(failure_reason, 'received ' || receive_count
            || CASE receive_count WHEN 1 THEN ' time' ELSE ' times' END || ' without being acknowledged')
      FROM visible, queue, dead_letter_queue
      WHERE visible.exhausted AND s.ctid = visible.row
      RETURNING s.queue_id, s.pending
    ), split AS MATERIALIZED (
      SELECT row, (SELECT bit_or(1::bigint << bit) FROM (
               SELECT bit FROM generate_series(0, 62) bit WHERE pending >> bit & 1 = 1
               ORDER BY bit LIMIT ${max}::int - (upto - messages)) lowest) AS taken
      FROM counted
      WHERE upto > ${max}::int AND upto - messages < ${max}::int AND (upto - messages) * 2 < ${max}::int
    ), whole AS (
      UPDATE slices s
      SET visible_at = queue.deadline, lease = nextval('lease_ids'), receive_count = receive_count + 1, moved = false,
          first_received_at = coalesce(first_received_at, queue.now)
      FROM counted, queue
      WHERE s.ctid = counted.row AND counted.upto <= ${max}::int
      RETURNING s.*
    ), rest AS (
      UPDATE slices s SET pending = pending & ~split.taken FROM split WHERE s.ctid = split.row
      RETURNING s.*, split.taken
    ), part AS (
      INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, lease, sent_at, first_received_at,
                          receive_count, source_queue_id, failure_reason, envelope)
      SELECT queue_id, queue.deadline, batch_id, taken, account, queue.lease, sent_at,
             coalesce(first_received_at, queue.now), receive_count + 1, source_queue_id, failure_reason, envelope
      FROM rest, queue
      RETURNING *
    ), claimed AS (
      SELECT * FROM whole UNION ALL SELECT * FROM part
    )
    SELECT batch_id, pending, lease, receive_count, source_queue_id, failure_reason, envelope,
           extract(epoch FROM visible_at)::float8 * 1000 AS visible_at, extract(epoch FROM sent_at)::float8 * 1000 AS sent_at,
           extract(epoch FROM first_received_at)::float8 * 1000 AS first_received_at, NULL::float8 AS due_in
    FROM claimed
    UNION ALL
    SELECT NULL, NULL, NULL, sum(bit_count(pending::bit(64)))::int, queue_id, NULL, NULL, NULL, NULL, NULL, NULL
    FROM dead GROUP BY queue_id
    UNION ALL
    (SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, extract(epoch FROM s.visible_at - queue.now)::float8 * 1000
     FROM slices s, queue
     WHERE NOT EXISTS (SELECT FROM claimed) AND NOT queue.paused AND s.queue_id = ${queueId}::bigint AND s.account = ${account}::bigint
       AND s.sent_at > queue.now - make_interval(secs => queue.retention)
     ORDER BY s.visible_at, s.batch_id LIMIT 1)`;
  const claimed: Claim = { slices: [], deadLetters: undefined, dueIn: undefined };
  for (const row of rows) {
    if (isClaimed(row)) claimed.slices.push(claimedSlice(row));
    else if (row.due_in !== null) claimed.dueIn = row.due_in;
    else claimed.deadLetters = { queueId: row.source_queue_id, messages: row.receive_count };
  }
  claimed.slices.sort(bySendingTime);
  return claimed;
}

function isClaimed(row: ClaimRow | DeadRow | DueRow): row is ClaimRow {
  return row.batch_id !== null;
}

function claimedSlice(row: ClaimRow): ClaimedSlice {
  return {
    batchId: row.batch_id,
    mask: BigInt(row.pending),
    lease: row.lease,
    visibleAt: Math.round(row.visible_at),
    sentAt: Math.floor(row.sent_at),
    firstReceivedAt: Math.floor(row.first_received_at),
    receiveCount: row.receive_count,
    deadLetter:
      row.source_queue_id === null
        ? undefined
        : { sourceQueueId: row.source_queue_id, reason: row.failure_reason ?? "" },
    envelope: row.envelope ?? undefined,
  };
}

function bySendingTime(a: ClaimedSlice, b: ClaimedSlice): number {
  return a.sentAt - b.sentAt || Number(a.batchId) - Number(b.batchId);
}

/** In the columns of a claimed slice: where dead letters went, and how many. */
interface DeadRow {
  batch_id: null;
  source_queue_id: string;
  receive_count: number;
  due_in: null;
}

interface DueRow {
  batch_id: null;
  due_in: number;
}

interface ClaimRow {
  batch_id: string;
  pending: string;
  lease: string;
  receive_count: number;
  source_queue_id: string | null;
  failure_reason: string | null;
  envelope: string | null;
  visible_at: number;
  sent_at: number;
  first_received_at: number;
}

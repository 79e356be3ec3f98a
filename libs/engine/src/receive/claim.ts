import {
  constant,
  numbers,
  statement,
  type Fragment,
  type Query,
  type Sql,
  type Statement,
} from "@sluice/database";

import { deletingAcknowledged } from "../acknowledge/delete-acknowledged.ts";
import type { AppliedMark } from "../receipt-handle/apply-marks.ts";
import type { SliceMark } from "../receipt-handle/slice-marks.ts";
import { recordDeadLetters } from "../trace/record-events.ts";
import { readApplied, readClaims, type RowOfClaim } from "./claim-rows.ts";
import type { Claim } from "./claimed-slice.ts";
import { LOOK_AHEAD, millisecond } from "./find-visible.ts";
import { quietSlices } from "./quiet-slices.ts";

export interface ClaimRequest {
  queueId: string;
  account: string;
  /** Most messages to claim. */
  max: number;
  /** Most slices to look at. */
  slices: number;
  /** Seconds; the queue's own when undefined. */
  visibilityTimeout: number | undefined;
  /** Where to start, in ms since the epoch; default the front of the queue. See ScanFloor. */
  from?: number | undefined;
}

export interface QuietRequest {
  /** Groups that are left out. */
  noisy: readonly string[];
  /** The group after which to go on looking; "" for the first one. */
  after: string;
}

/**
 * Claims visible slices of queues, of each the oldest first, whole where they fit; skips those that another claim is
 * taking. One statement, however many queues ask: most of what a claim costs is the statement.
 *
 * - The clock is Postgres' own, read once as the claim starts. A deadline is rounded up to whole milliseconds, so that
 *   it passes through a receipt handle unchanged and is never short of the timeout.
 * - A slice that does not fit is split only when less than half of what was asked for fits whole: a split is a row more
 *   to write and to acknowledge, and receives of 1,000 out of slices of 63 would otherwise split every time.
 * - Messages past the queue's retention are not handed out, whenever the clean-up gets to them.
 * - A slice whose receive count would pass the queue's `maxReceiveCount` goes to the dead-letter queue instead, whole,
 *   in this same statement: one update of one row, so it is never in both or in neither. The dead-letter queue is
 *   locked against deletion while that happens: a slice moved into a queue that is being deleted would be lost. Where
 *   somebody is deleting it, the slice stays where it is until that is over: the claims of all queues in this statement
 *   would wait, for a process that stands still 20 s. Where it is gone, messages are received again.
 * - Each slice has a lease of its own: a dead-letter queue that two queues of one topic share holds the same batch
 *   twice, and the handles of the two must differ.
 * - A claim that finds nothing says when there will be something, so that whoever waits needs no second query.
 * - It starts at the floor that it is given, and says where it found the first slice, for the next floor.
 *
 * @param requests - Each of another queue.
 * @returns What was claimed for each, in order.
 */
export async function claim(sql: Sql, requests: readonly ClaimRequest[]): Promise<Claim[]> {
  const { claims } = await claimAndAcknowledge(sql, requests, []).send();
  return claims;
}

/**
 * The same, and acknowledges what these marks name: one commit for both, where each alone would wait for the other's.
 *
 * A message that is acknowledged late, and visible again, may be claimed by this very statement. Its row is then
 * changed once, by whichever part comes to it first, and the other leaves it: Postgres skips a row that its own
 * statement has changed.
 */
export function claimAndAcknowledge(
  sql: Sql,
  requests: readonly ClaimRequest[],
  marks: readonly SliceMark[],
): Statement<{ claims: Claim[]; applied: AppliedMark[] }> {
  return statement(select(sql, requests, { visible: oldestSlices(sql), marks }), (rows) => ({
    claims: readClaims(requests, rows, false),
    applied: readApplied(rows),
  }));
}

/** The same for one queue, and only for tenants that are not noisy, and for messages without one; see quietSlices. */
export async function claimQuiet(
  sql: Sql,
  request: ClaimRequest & { quiet: QuietRequest },
): Promise<Claim> {
  const visible = quietSlices(sql, request, request.quiet);
  const rows = await select(sql, [request], { visible, quiet: true });
  const [found] = readClaims([request], rows, true);
  return found!;
}

interface Parts {
  visible: Fragment;
  quiet?: boolean;
  marks?: readonly SliceMark[];
}

/**
 * One statement for all: what it claimed, moved and acknowledged comes back as rows of three kinds, see claim-rows.ts.
 */
function select(
  sql: Sql,
  requests: readonly ClaimRequest[],
  { visible, quiet = false, marks = [] }: Parts,
): Query<RowOfClaim> {
  const timeouts = requests.map(({ visibilityTimeout }) => visibilityTimeout ?? "NULL");
  const acknowledges = marks.length > 0;
  return sql<RowOfClaim[]>`
    WITH RECURSIVE queue AS MATERIALIZED (
      SELECT q.id, q.account, r.max, r.slices, q.paused, q.retention, q.dead_letter_queue_id, clock_timestamp() AS now,
             clock_timestamp() - make_interval(secs => q.retention) AS expired, nextval('lease_ids') AS lease,
             CASE WHEN EXISTS (SELECT FROM queues d WHERE d.id = q.dead_letter_queue_id)
               THEN q.max_receive_count ELSE 2147483647 END AS max_receive_count,
             date_trunc('milliseconds', clock_timestamp()) + interval '1 millisecond'
               + make_interval(secs => coalesce(r.visibility_timeout, q.visibility_timeout)) AS deadline,
             timestamptz 'epoch' + r.since * interval '1 millisecond' AS floor
      FROM unnest(
        ${numbers(requests.map(({ queueId }) => queueId))}::bigint[],
        ${numbers(requests.map(({ account }) => account))}::bigint[],
        ${numbers(requests.map(({ max }) => max))}::int[],
        ${numbers(requests.map(({ slices }) => slices))}::int[],
        ${numbers(timeouts)}::int[],
        ${numbers(requests.map(({ from = -Infinity }) => millisecond(from)))}::bigint[]
      ) AS r(queue_id, account, max, slices, visibility_timeout, since)
      JOIN queues q ON q.id = r.queue_id AND q.account = r.account
    ), ${visible}, counted AS (
      SELECT v.row, v.pending, q.max, bit_count(v.pending::bit(64)) AS messages,
             sum(bit_count(v.pending::bit(64)))
               OVER (PARTITION BY q.id ORDER BY v.visible_at, v.batch_id ROWS UNBOUNDED PRECEDING) AS upto
      FROM queue q JOIN visible v ON v.queue_id = q.id
      WHERE NOT v.exhausted
    ), dead_letter_queue AS MATERIALIZED (
      SELECT d.id FROM queues d
      WHERE d.id IN (SELECT q.dead_letter_queue_id FROM queue q WHERE EXISTS (
        SELECT FROM visible v WHERE v.exhausted AND v.queue_id = q.id))
      ORDER BY d.id
      FOR KEY SHARE SKIP LOCKED
    ), dead AS (
      UPDATE slices s
      SET queue_id = d.id, visible_at = q.now, lease = 0, receive_count = 0, moved = false,
          first_received_at = NULL, source_queue_id = s.queue_id,
          failure_reason = coalesce(failure_reason, 'received ' || receive_count
            || CASE receive_count WHEN 1 THEN ' time' ELSE ' times' END || ' without being acknowledged')
      FROM visible v JOIN queue q ON q.id = v.queue_id JOIN dead_letter_queue d ON d.id = q.dead_letter_queue_id
      WHERE v.exhausted AND s.ctid = v.row
      RETURNING s.account, s.queue_id, s.source_queue_id, s.batch_id, s.pending, s.visible_at, s.failure_reason
    ), dead_counted AS (
      SELECT account, queue_id, source_queue_id, sum(bit_count(pending::bit(64)))::int AS messages FROM dead GROUP BY 1, 2, 3
    ), ledger AS (
      INSERT INTO queue_ledger (account, queue_id, kind, messages)
      SELECT account, source_queue_id, 'deadLettered', messages FROM dead_counted
      UNION ALL
      SELECT account, queue_id, 'deadLettersIn', messages FROM dead_counted
    ), events AS (${deadLetterEvents(sql)}), split AS MATERIALIZED (
      SELECT row, (SELECT bit_or(1::bigint << bit) FROM (
               SELECT bit FROM generate_series(0, 62) bit WHERE pending >> bit & 1 = 1
               ORDER BY bit LIMIT max - (upto - messages)) lowest) AS taken
      FROM counted
      WHERE upto > max AND upto - messages < max AND (upto - messages) * 2 < max
    ), whole AS (
      UPDATE slices s
      SET visible_at = queue.deadline, lease = nextval('lease_ids'), receive_count = receive_count + 1, moved = false,
          received_at = queue.now, first_received_at = coalesce(first_received_at, queue.now)
      FROM counted, queue
      WHERE s.ctid = counted.row AND s.queue_id = queue.id AND counted.upto <= counted.max
      RETURNING s.*
    ), rest AS (
      UPDATE slices s SET pending = pending & ~split.taken FROM split WHERE s.ctid = split.row
      RETURNING s.*, split.taken
    ), part AS (
      INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, lease, sent_at, received_at, first_received_at,
                          receive_count, source_queue_id, failure_reason, group_id, envelope, published_at)
      SELECT queue_id, queue.deadline, batch_id, taken, rest.account, queue.lease, sent_at, queue.now,
             coalesce(first_received_at, queue.now), receive_count + 1, source_queue_id, failure_reason, group_id, envelope, published_at
      FROM rest JOIN queue ON queue.id = rest.queue_id
      RETURNING *
    ), claimed AS (
      SELECT * FROM whole UNION ALL SELECT * FROM part
    )${acknowledges ? sql`, ${deletingAcknowledged(sql, marks, "exact")}` : nothingMore(sql)}
    -- ClaimRow: a slice that was claimed.
    SELECT queue_id, batch_id, pending, lease, receive_count, source_queue_id, failure_reason, group_id, envelope,
           extract(epoch FROM visible_at)::float8 * 1000 AS visible_at, extract(epoch FROM sent_at)::float8 * 1000 AS sent_at,
           extract(epoch FROM first_received_at)::float8 * 1000 AS first_received_at,
           extract(epoch FROM published_at)::float8 * 1000 AS published_at
    FROM claimed
    UNION ALL
    -- SummaryRow: what there is to say of a queue, in the same columns.
    SELECT queue.id, NULL,
           (SELECT CASE WHEN bool_or(v.exhausted) THEN -count(*) ELSE count(*) END FROM visible v WHERE v.queue_id = queue.id),
           NULL, dead.messages, dead.queue_id, NULL,
           ${quiet ? lastTenant(sql) : noTenant(sql)}, NULL,
           extract(epoch FROM ${quiet ? noSlice(sql) : firstSlice(sql)})::float8 * 1000,
           extract(epoch FROM now)::float8 * 1000, NULL, NULL
    FROM queue LEFT JOIN dead_counted dead ON dead.source_queue_id = queue.id WHERE NOT paused
    ${acknowledges ? acknowledgedRows(sql) : nothingMore(sql)}`;
}

/** SQL: the visible slices of each queue from its floor on, in order, locked. */
const oldestSlices = constant(
  (sql) => sql`visible AS (
      SELECT s.* FROM queue q CROSS JOIN LATERAL (
        SELECT s.ctid AS row, s.queue_id, s.pending, s.visible_at, s.batch_id, s.receive_count >= q.max_receive_count AS exhausted
        FROM slices s
        WHERE s.queue_id = q.id AND s.account = q.account AND s.visible_at >= q.floor AND s.visible_at <= q.now
          AND s.sent_at > q.expired
        ORDER BY s.visible_at, s.batch_id
        LIMIT q.slices
        FOR UPDATE SKIP LOCKED
      ) s
      WHERE NOT q.paused
    )`,
);

/**
 * SQL: the time of the first slice from the floor on that is visible now or soon, locked by somebody else or not: what
 * another claim has locked it may leave where it is, and then the next one has to begin there.
 */
const firstSlice = constant(
  (sql) => sql`(
      SELECT s.visible_at FROM slices s
      WHERE s.queue_id = queue.id AND s.account = queue.account AND s.visible_at >= queue.floor
        AND s.visible_at < queue.now + ${LOOK_AHEAD}::int * interval '1 millisecond' AND s.sent_at > queue.expired
      ORDER BY s.visible_at, s.batch_id LIMIT 1)`,
);

const deadLetterEvents = constant(recordDeadLetters);
const acknowledgedRows = constant(
  (sql) => sql`
    UNION ALL
    -- AcknowledgedRow: what became of a row that a mark names, in the same columns.
    SELECT NULL, NULL, done, NULL, position::int, NULL, NULL, NULL, NULL,
           CASE WHEN row IN (SELECT row FROM applied) THEN 1 END, NULL, NULL, NULL
    FROM found`,
);
const nothingMore = constant((sql) => sql``);
const noSlice = constant((sql) => sql`NULL::timestamptz`);
const lastTenant = constant((sql) => sql`(SELECT min(group_id) FROM last_tenant)`);
const noTenant = constant((sql) => sql`NULL`);

import {
  constant,
  statement,
  type Fragment,
  type Query,
  type Sql,
  type Statement,
} from "@sluice/database";

import { deletingAcknowledged } from "../acknowledge/delete-acknowledged.ts";
import type { AppliedMark } from "../receipt-handle/apply-marks.ts";
import type { SliceMark } from "../receipt-handle/slice-marks.ts";
import { readApplied, readClaims, type RowOfClaim } from "./claim-rows.ts";
import type { Claim } from "./claimed-slice.ts";
import { LOOK_AHEAD } from "./find-visible.ts";
import { quietSlices } from "./quiet-slices.ts";
import { askedQueues, oldestSlices } from "./visible-slices.ts";

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
 * - A slice whose receive count would pass the queue's `maxReceiveCount` is left where it is, and told of: it belongs
 *   into the dead-letter queue, see moveExhausted.
 * - Each slice has a lease of its own: a dead-letter queue that two queues of one topic share holds the same batch
 *   twice, and the handles of the two must differ. So do the times at which they were received first.
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
  request: ClaimRequest,
  quiet: QuietRequest,
): Promise<Claim> {
  const visible = quietSlices(sql, request, quiet);
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
 * One statement for all: what it claimed and acknowledged comes back as rows of three kinds, see claim-rows.ts.
 */
function select(
  sql: Sql,
  requests: readonly ClaimRequest[],
  { visible, quiet = false, marks = [] }: Parts,
): Query<RowOfClaim> {
  const acknowledges = marks.length > 0;
  return sql<RowOfClaim[]>`
    WITH RECURSIVE ${askedQueues(sql, requests)}, ${visible}, counted AS (
      SELECT v.row, v.pending, q.max, bit_count(v.pending::bit(64)) AS messages,
             sum(bit_count(v.pending::bit(64)))
               OVER (PARTITION BY q.id ORDER BY v.visible_at, v.batch_id ROWS UNBOUNDED PRECEDING) AS upto
      FROM queue q JOIN visible v ON v.queue_id = q.id
      WHERE NOT v.exhausted
    ), split AS MATERIALIZED (
      SELECT row, upto - messages AS before, (SELECT bit_or(1::bigint << bit) FROM (
               SELECT bit FROM generate_series(0, 62) bit WHERE pending >> bit & 1 = 1
               ORDER BY bit LIMIT max - (upto - messages)) lowest) AS taken
      FROM counted
      WHERE upto > max AND upto - messages < max AND (upto - messages) * 2 < max
    ), whole AS (
      UPDATE slices s
      SET visible_at = queue.deadline, lease = nextval('lease_ids'), receive_count = receive_count + 1, moved = false,
          received_at = queue.now,
          first_received_at = coalesce(first_received_at, queue.now + (counted.upto - counted.messages) * interval '1 microsecond')
      FROM counted, queue
      WHERE s.ctid = counted.row AND s.queue_id = queue.id AND counted.upto <= counted.max
      RETURNING s.*
    ), rest AS (
      UPDATE slices s SET pending = pending & ~split.taken FROM split WHERE s.ctid = split.row
      RETURNING s.*, split.taken, split.before
    ), part AS (
      INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, lease, sent_at, received_at, first_received_at,
                          receive_count, source_queue_id, failure_reason, group_id, envelope, published_at)
      SELECT queue_id, queue.deadline, batch_id, taken, rest.account, queue.lease, sent_at, queue.now,
             coalesce(first_received_at, queue.now + rest.before * interval '1 microsecond'), receive_count + 1, source_queue_id, failure_reason, group_id, envelope, published_at
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
           NULL, NULL, NULL, NULL,
           ${quiet ? lastTenant(sql) : noTenant(sql)}, NULL,
           extract(epoch FROM ${quiet ? noSlice(sql) : firstSlice(sql)})::float8 * 1000,
           extract(epoch FROM now)::float8 * 1000, NULL, NULL
    FROM queue WHERE NOT paused
    ${acknowledges ? acknowledgedRows(sql) : nothingMore(sql)}`;
}

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

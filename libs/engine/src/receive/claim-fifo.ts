import { isLockNotAvailable, numbers, texts, type Sql, type Transaction } from "@sluice/database";

import { clearHeads } from "../dead-letter/clear-heads.ts";
import { fromHead } from "../message-group/from-head.ts";
import { groupRow } from "../message-group/group-row.ts";
import { lockAttempt } from "../message-group/locks.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import type { Claim, ClaimedSlice } from "./claim.ts";
import { HELD_LETTERS } from "./claim-rows.ts";
import { fifoSlice, type TakenRow } from "./fifo-slice.ts";
import type { ScanReport } from "./scan-floor.ts";
import {
  lockEnough,
  waitForFirst,
  type AvailableGroup,
  type LockRequest,
} from "./lock-available.ts";
import { repeatAttempt, type Attempt } from "./repeat-attempt.ts";

export interface FifoClaimRequest extends LockRequest {
  /** Seconds; the queue's own when undefined. */
  visibilityTimeout: number | undefined;
  /** Of a receive that is claimed for alone: its repeat gets the same messages. */
  attemptId?: string | undefined;
  /** Most messages that a repeat with it may get. */
  asked?: number | undefined;
  /** Whether that receive looks again when it has got nothing. */
  isWaiting?: boolean | undefined;
}

/** How long a receive with an attempt id waits for locks: what it repeats may be under way. One that waits looks again. */
const ATTEMPT_WAITS = { waiting: "100ms", other: "1s" };
/** Pause before looking again for groups that somebody holds, in ms; who lets go of them tells, unless he has died. */
const HELD_GROUPS = 100;

interface Connections {
  sql: Sql;
  waits: LockWaits;
}

/** Rounds of heads that were received too often, or expired, which one claim clears out of its way. */
const MAX_CLEARINGS = 20;

/**
 * Claims messages of a FIFO queue: of the groups that may be handed out those that have been waiting for longest, and of
 * each one its first messages in order.
 *
 * - A group is handed to one receive, whole: while one of its messages is in flight no other one is handed out. So the
 *   receives that are to be served share out the groups first; see {@link shareOut}.
 * - A group whose row is locked is being received, acknowledged or sent to by another transaction, and is skipped.
 * - A head that was received too often or has expired is not handed out. It is removed by a transaction of its own, since that
 *   one locks queues, and queues are locked before groups.
 */
export async function claimFifo(
  { sql, waits }: Connections,
  request: FifoClaimRequest,
): Promise<FifoClaim> {
  const deadLetters = { queueId: "", messages: 0 };
  const withLetters = (claim: FifoClaim) => ({
    ...claim,
    deadLetters: deadLetters.messages > 0 ? deadLetters : undefined,
    dueIn: held.length > 0 ? HELD_LETTERS : claim.dueIn,
  });
  // Groups whose heads have to stay for now: others are handed out meanwhile.
  const held: string[] = [];
  for (let clearing = 0; ; clearing += 1) {
    const { stuck, ...claim } = await claimOrRepeat({ sql, waits }, { ...request, but: held });
    if (held.length > 0) held.push(...stuck);
    else if (stuck.length > 0) {
      const clear = (lockTimeout: string) =>
        clearHeads(sql, request, { groupIds: stuck, lockTimeout });
      const moved = await waits.briefly(clear).catch((error: unknown) => {
        if (isLockNotAvailable(error)) return { ...NONE, isHeld: true };
        // What was claimed is handed out all the same; the next claim finds the heads as they are.
        if (claim.slices.length === 0) throw error;
        return { ...NONE, isHeld: false };
      });
      if (moved.messages > 0) deadLetters.queueId = moved.queueId;
      deadLetters.messages += moved.messages;
      if (moved.isHeld) held.push(...stuck);
    }
    if (claim.slices.length > 0 || stuck.length === 0) return withLetters(claim);
    // Whoever asks next goes on.
    if (clearing === MAX_CLEARINGS) return withLetters({ ...claim, dueIn: 0 });
  }
}

const NONE = { queueId: "", messages: 0 };

export interface FifoClaim extends Claim {
  /** More groups may be handed out than these receives had room for. */
  more: boolean;
  /** Whether it has not come to look what there is: another receive with its attempt id, or somebody who holds what that got, stands in its way. */
  isBlind?: boolean | undefined;
}

interface ClaimOnce extends FifoClaim {
  /** Groups whose first message is not to be handed out. */
  stuck: string[];
  /** All that may be handed out is locked just now. Waiting for one keeps a single busy group from being skipped for ever. */
  blocked?: ScanReport | undefined;
}

/** A scan found locked all that may be handed out: the first group is waited for. */
interface Blocked {
  scan: ScanReport;
  lockTimeout: string;
}

async function claimOrRepeat(
  { sql, waits }: Connections,
  request: FifoClaimRequest,
): Promise<ClaimOnce> {
  const { blocked, ...claim } = await claimOrRepeatOnce(sql, request).catch((error: unknown) => {
    // Whoever does not look again must not take it for nothing: what it repeats may have got something.
    if (!isLockNotAvailable(error) || !request.isWaiting) throw error;
    return { ...EMPTY, dueIn: HELD_GROUPS, blocked: undefined, isBlind: true };
  });
  if (!blocked) return claim;
  // By a transaction of its own: this one may have locked groups that it found handed out after all, and holds them until it ends.
  const wait = (lockTimeout: string) =>
    claimOrRepeatOnce(sql, request, { scan: blocked, lockTimeout });
  return await waits.briefly(wait).catch((error: unknown) => {
    if (!isLockNotAvailable(error)) throw error;
    return { ...EMPTY, dueIn: HELD_GROUPS, scan: blocked };
  });
}

async function claimOrRepeatOnce(
  sql: Sql,
  request: FifoClaimRequest,
  blocked?: Blocked,
): Promise<ClaimOnce> {
  const { attemptId, asked = 0, isWaiting = false } = request;
  if (attemptId === undefined) return await sql.begin((tx) => claimOnce(tx, request, blocked));
  for (;;) {
    const lockTimeout = ATTEMPT_WAITS[isWaiting ? "waiting" : "other"];
    const attempt = { ...request, attemptId, asked, lockTimeout };
    const { slices, lapsed } = await repeatAttempt(sql, attempt);
    if (slices.length > 0) return { ...EMPTY, slices };
    const claim = await sql.begin(async (tx) => {
      await lockAttempt(tx, attempt);
      // Another receive with this id was faster: what it got is what this one gets.
      if ((await leaseOf(tx, attempt)) !== lapsed) return undefined;
      return await claimOnce(tx, request, blocked);
    });
    if (claim) return claim;
  }
}

const EMPTY: ClaimOnce = {
  slices: [],
  stuck: [],
  deadLetters: undefined,
  dueIn: undefined,
  more: false,
};

async function leaseOf(
  tx: Transaction,
  { queueId, attemptId }: Attempt,
): Promise<string | undefined> {
  const [row] = await tx<{ lease: string }[]>`
    SELECT lease FROM receive_attempts WHERE queue_id = ${queueId}::bigint AND attempt_id = ${attemptId}`;
  return row?.lease;
}

async function claimOnce(
  tx: Transaction,
  request: FifoClaimRequest,
  blocked: Blocked | undefined,
): Promise<ClaimOnce> {
  const { scan, groups, ...locked } = blocked
    ? {
        scan: blocked.scan,
        groups: await waitForFirst(tx, request, blocked.lockTimeout),
        more: false,
      }
    : await lockEnough(tx, request);
  if (groups.length === 0) {
    const dueIn = scan?.first === undefined ? undefined : scan.first - scan.now;
    // Those that are left out are not waited for.
    const isLocked = dueIn !== undefined && dueIn <= 0 && !request.but?.length;
    return { ...EMPTY, dueIn, scan, blocked: isLocked && !blocked ? scan : undefined };
  }
  const shares = shareOut(groups, request.maxes);
  const taken = await take(tx, request, shares);
  return {
    ...taken,
    deadLetters: undefined,
    dueIn: undefined,
    scan,
    more: taken.slices.length > 0 && (locked.more || shares.length < groups.length),
  };
}

interface Share {
  groupId: string;
  /** Most messages to take. */
  messages: number;
}

/**
 * Shares groups out among receives, one after the other: a group goes to one of them, as far as that has room. In this
 * order, and with no more messages than these, {@link takeGroups} hands them out without a rest.
 */
export function shareOut(groups: readonly AvailableGroup[], maxes: readonly number[]): Share[] {
  const shares: Share[] = [];
  const rooms = [...maxes];
  let room = rooms.shift() ?? 0;
  for (const { groupId, messages } of groups) {
    if (room === 0) room = rooms.shift() ?? 0;
    if (room === 0) return shares;
    const share = Math.min(room, messages);
    shares.push({ groupId, messages: share });
    room -= share;
  }
  return shares;
}

/** Takes the first messages of locked groups: in order, up to the first one that is not to be handed out. */
async function take(
  tx: Transaction,
  { queueId, account, visibilityTimeout, attemptId }: FifoClaimRequest,
  shares: readonly Share[],
): Promise<{ slices: ClaimedSlice[]; stuck: string[] }> {
  const rows = await tx<(TakenRow | StuckRow)[]>`
    WITH queue AS MATERIALIZED (
      SELECT clock_timestamp() AS now, clock_timestamp() - make_interval(secs => retention) AS expired, nextval('lease_ids') AS lease,
             CASE WHEN EXISTS (SELECT FROM queues d WHERE d.id = queues.dead_letter_queue_id)
               THEN max_receive_count ELSE 2147483647 END AS max_receive_count,
             date_trunc('milliseconds', clock_timestamp()) + interval '1 millisecond'
               + make_interval(secs => coalesce(${visibilityTimeout ?? null}::int, visibility_timeout)) AS deadline
      FROM queues WHERE id = ${queueId}::bigint AND account = ${account}::bigint
    ), front AS (
      SELECT share.position, share.room, s.*
      FROM unnest(
        ${texts(shares.map((share) => share.groupId))}::text[],
        ${numbers(shares.map((share) => share.messages))}::int[]
      ) WITH ORDINALITY AS share(group_id, room, position)
      -- Looked up one by one: joined, a claim for many receives was planned as one that reads every group of the queue
      -- (of 10,000 groups 42 ms of its 48 ms).
      CROSS JOIN LATERAL (
        SELECT g.queue_id, g.group_id, g.head_sequence FROM fifo_groups g
        WHERE g.queue_id = ${queueId}::bigint AND g.group_id = share.group_id AND g.account = ${account}::bigint
        ORDER BY g.head_sequence DESC LIMIT 1
      ) g
      CROSS JOIN LATERAL (
        SELECT s.ctid AS row, s.group_id, s.sequence, s.pending, s.visible_at, s.sent_at, s.receive_count FROM fifo_slices s
        WHERE ${fromHead(tx)}
        ORDER BY s.queue_id, s.group_id, s.sequence, s.pending & -s.pending LIMIT share.room
      ) s
    ), counted AS MATERIALIZED (
      SELECT f.*, bit_count(f.pending::bit(64)) AS messages, sum(bit_count(f.pending::bit(64))) OVER inorder AS upto,
             bool_and(f.visible_at <= q.now AND f.sent_at > q.expired AND f.receive_count < q.max_receive_count) OVER inorder AS takeable,
             f.visible_at <= q.now AND (f.sent_at <= q.expired OR f.receive_count >= q.max_receive_count)
               AND 1 = row_number() OVER inorder AS stuck
      FROM front f CROSS JOIN queue q
      WINDOW inorder AS (PARTITION BY f.position ORDER BY f.sequence, f.pending & -f.pending ROWS UNBOUNDED PRECEDING)
    ), split AS MATERIALIZED (
      SELECT row, position, (SELECT bit_or(1::bigint << bit) FROM (
               SELECT bit FROM generate_series(0, 62) bit WHERE pending >> bit & 1 = 1
               ORDER BY bit LIMIT room - (upto - messages)) lowest) AS taken
      FROM counted WHERE takeable AND upto > room AND upto - messages < room
    ), whole AS (
      UPDATE fifo_slices s
      SET visible_at = q.deadline, lease = q.lease, received_at = q.now, receive_count = s.receive_count + 1, delayed = false,
          first_received_at = coalesce(s.first_received_at, q.now)
      FROM counted c, queue q
      WHERE s.ctid = c.row AND c.takeable AND c.upto <= c.room
      RETURNING s.*, c.position
    ), rest AS (
      UPDATE fifo_slices s SET pending = s.pending & ~split.taken FROM split WHERE s.ctid = split.row
      RETURNING s.*, split.taken, split.position
    ), part AS (
      INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, lease, sent_at, received_at,
                               first_received_at, receive_count, source_queue_id, failure_reason, envelope, published_at)
      SELECT queue_id, group_id, sequence, batch_id, taken, rest.account, q.deadline, q.lease, sent_at, q.now,
             coalesce(first_received_at, q.now), receive_count + 1, source_queue_id, failure_reason, envelope, published_at
      FROM rest, queue q
    ), claimed AS (
      SELECT position, group_id, sequence, batch_id, pending, sent_at, first_received_at, receive_count, source_queue_id,
             failure_reason, envelope, published_at FROM whole
      UNION ALL
      SELECT position, group_id, sequence, batch_id, taken, sent_at, coalesce(first_received_at, q.now), receive_count + 1,
             source_queue_id, failure_reason, envelope, published_at
      FROM rest, queue q
    ), held AS (
      UPDATE fifo_groups t
      SET available_at = q.deadline, head_sequence = k.first, received_upto = greatest(t.received_upto, k.last)
      FROM queue q CROSS JOIN (
        SELECT ${queueId}::bigint AS queue_id, group_id, min(sequence) AS first, max(sequence) AS last FROM claimed GROUP BY group_id
      ) k ${groupRow(tx)}
      WHERE t.ctid = g.row
    ), attempt AS (
      INSERT INTO receive_attempts (queue_id, attempt_id, account, lease, sequences, message_count, received_at)
      SELECT ${queueId}::bigint, ${attemptId ?? null}::text, ${account}::bigint, q.lease, array_agg(DISTINCT c.sequence),
             sum(bit_count(c.pending::bit(64)))::int, q.now
      FROM claimed c, queue q WHERE ${attemptId ?? null}::text IS NOT NULL GROUP BY q.lease, q.now
      ON CONFLICT (queue_id, attempt_id) DO UPDATE
      SET lease = excluded.lease, sequences = excluded.sequences, message_count = excluded.message_count,
          received_at = excluded.received_at
    )
    SELECT c.*, q.lease, extract(epoch FROM c.sent_at)::float8 * 1000 AS sent_ms,
           extract(epoch FROM c.first_received_at)::float8 * 1000 AS first_received_ms,
           extract(epoch FROM c.published_at)::float8 * 1000 AS published_ms, extract(epoch FROM q.deadline)::float8 * 1000 AS deadline_ms
    FROM claimed c, queue q
    UNION ALL
    SELECT position, group_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM counted WHERE stuck
    ORDER BY position, sequence, pending`;
  return {
    slices: rows.filter(isTaken).map(fifoSlice),
    stuck: rows.flatMap((row) => (isTaken(row) ? [] : [row.group_id])),
  };
}

interface StuckRow {
  group_id: string;
  sequence: null;
}

function isTaken(row: TakenRow | StuckRow): row is TakenRow {
  return row.sequence !== null;
}

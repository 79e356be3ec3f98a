import { isLockNotAvailable, type Sql, type Transaction } from "@sluice/database";

import { clearHeads } from "../dead-letter/clear-heads.ts";
import type { DeadLetters } from "../dead-letter/move-exhausted.ts";
import { lockAttempt } from "../message-group/locks.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import type { Claim } from "./claimed-slice.ts";
import { HELD_LETTERS } from "./claim-rows.ts";
import { lockEnough, waitForFirst, type LockRequest } from "./lock-available.ts";
import { repeatAttempt, type Attempt } from "./repeat-attempt.ts";
import type { ScanReport } from "./scan-floor.ts";
import { shareOut } from "./share-out.ts";
import { takeFromGroups } from "./take-from-groups.ts";

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

/**
 * How long a receive with an attempt id waits for locks: what it repeats may be under way. One that waits looks again.
 */
const ATTEMPT_WAITS = { waiting: "100ms", other: "1s" };
/** Pause before looking again for groups that somebody holds, in ms; who lets go of them tells, unless he has died. */
const HELD_GROUPS = 100;

interface Connections {
  sql: Sql;
  waits: LockWaits;
  /** Told when heads could not be cleared and there is something to hand out nevertheless. */
  failed: (what: string, error: unknown) => void;
}

/** Rounds of heads that were received too often, or expired, which one claim clears out of its way. */
const MAX_CLEARINGS = 20;

/**
 * Claims messages of a FIFO queue: of the groups that may be handed out those that have been waiting for longest, and
 * of each one its first messages in order.
 *
 * - A group is handed to one receive, whole: while one of its messages is in flight no other one is handed out. So the
 *   receives that are to be served share out the groups first; see {@link shareOut}.
 * - A group whose row is locked is being received, acknowledged or sent to by another transaction, and is skipped.
 * - A head that was received too often or has expired is not handed out. It is removed by a transaction of its own,
 *   since that one locks queues, and queues are locked before groups.
 *
 * From the outside in: this clears heads out of the way, {@link claimOrWait} waits for a group where all are locked,
 * {@link claimOrRepeat} gives the repeat of a receive what that got, and {@link claimGroups} is what one transaction
 * does.
 */
export async function claimFifo(
  connections: Connections,
  request: FifoClaimRequest,
): Promise<FifoClaim> {
  const letters = { queueId: "", messages: 0 };
  // Groups whose heads have to stay for now: others are handed out meanwhile.
  const held: string[] = [];
  const finish = (claim: FifoClaim): FifoClaim => ({
    ...claim,
    deadLetters: letters.messages > 0 ? letters : undefined,
    dueIn: held.length > 0 ? HELD_LETTERS : claim.dueIn,
  });
  for (let clearing = 0; ; clearing += 1) {
    const { stuck, ...claim } = await claimOrWait(connections, { ...request, but: held });
    const isEmpty = claim.slices.length === 0;
    if (held.length > 0) held.push(...stuck);
    else if (stuck.length > 0) {
      const moved = await clearStuck(connections, request, stuck).catch((error: unknown) => {
        // What was claimed is handed out all the same; the next claim finds the heads as they are.
        if (isEmpty) throw error;
        connections.failed("dead letters", error);
        return NONE_MOVED;
      });
      if (moved.messages > 0) letters.queueId = moved.queueId;
      letters.messages += moved.messages;
      if (moved.isHeld) held.push(...stuck);
    }
    if (!isEmpty || stuck.length === 0) return finish(claim);
    // Whoever asks next goes on.
    if (clearing === MAX_CLEARINGS) return finish({ ...claim, dueIn: 0 });
  }
}

const NONE_MOVED = { queueId: "", messages: 0, isHeld: false };

/** What {@link clearHeads} does; heads of queues or groups that somebody has locked have to stay. */
async function clearStuck(
  { sql, waits }: Connections,
  request: FifoClaimRequest,
  groupIds: readonly string[],
): Promise<typeof NONE_MOVED> {
  const clear = (lockTimeout: string) => clearHeads(sql, request, { groupIds, lockTimeout });
  return await waits.briefly(clear).catch((error: unknown) => {
    if (!isLockNotAvailable(error)) throw error;
    return { ...NONE_MOVED, isHeld: true };
  });
}

export interface FifoClaim extends Claim {
  /** Messages that had been received too often, and went to this dead-letter queue instead. */
  deadLetters: DeadLetters | undefined;
  /** More groups may be handed out than these receives had room for. */
  more: boolean;
  /**
   * Whether it has not come to look what there is: another receive with its attempt id, or somebody who holds what that
   * got, stands in its way.
   */
  isBlind?: boolean | undefined;
}

/** What one transaction claimed. */
interface GroupsClaim extends FifoClaim {
  /** Groups whose first message is not to be handed out. */
  stuck: string[];
  /**
   * All that may be handed out is locked just now. Waiting for one keeps a single busy group from being skipped for
   * ever.
   */
  blocked?: ScanReport | undefined;
}

const EMPTY: GroupsClaim = {
  slices: [],
  stuck: [],
  deadLetters: undefined,
  dueIn: undefined,
  more: false,
};

/** A scan found locked all that may be handed out: the first group is waited for. */
interface Blocked {
  scan: ScanReport;
  lockTimeout: string;
}

async function claimOrWait(
  { sql, waits }: Connections,
  request: FifoClaimRequest,
): Promise<GroupsClaim> {
  const { blocked, ...claim } = await claimOrRepeat(sql, request).catch((error: unknown) => {
    // Whoever does not look again must not take it for nothing: what it repeats may have got something.
    if (!isLockNotAvailable(error) || !request.isWaiting) throw error;
    return { ...EMPTY, dueIn: HELD_GROUPS, blocked: undefined, isBlind: true };
  });
  if (!blocked) return claim;
  // By a transaction of its own: this one may have locked groups that it found handed out after all, and holds them
  // until it ends.
  const wait = (lockTimeout: string) => claimOrRepeat(sql, request, { scan: blocked, lockTimeout });
  return await waits.briefly(wait).catch((error: unknown) => {
    if (!isLockNotAvailable(error)) throw error;
    return { ...EMPTY, dueIn: HELD_GROUPS, scan: blocked };
  });
}

async function claimOrRepeat(
  sql: Sql,
  request: FifoClaimRequest,
  blocked?: Blocked,
): Promise<GroupsClaim> {
  const { attemptId, asked = 0, isWaiting = false } = request;
  if (attemptId === undefined) return await sql.begin((tx) => claimGroups(tx, request, blocked));
  for (;;) {
    const lockTimeout = ATTEMPT_WAITS[isWaiting ? "waiting" : "other"];
    const attempt = { ...request, attemptId, asked, lockTimeout };
    const { slices, lapsed } = await repeatAttempt(sql, attempt);
    if (slices.length > 0) return { ...EMPTY, slices };
    const claim = await sql.begin(async (tx) => {
      await lockAttempt(tx, attempt);
      // Another receive with this id was faster: what it got is what this one gets.
      if ((await leaseOf(tx, attempt)) !== lapsed) return undefined;
      return await claimGroups(tx, request, blocked);
    });
    if (claim) return claim;
  }
}

async function leaseOf(
  tx: Transaction,
  { queueId, attemptId }: Attempt,
): Promise<string | undefined> {
  const [row] = await tx<{ lease: string }[]>`
    SELECT lease FROM receive_attempts WHERE queue_id = ${queueId}::bigint AND attempt_id = ${attemptId}`;
  return row?.lease;
}

/** Locks groups, shares them out and takes their messages. */
async function claimGroups(
  tx: Transaction,
  request: FifoClaimRequest,
  blocked: Blocked | undefined,
): Promise<GroupsClaim> {
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
  const taken = await takeFromGroups(tx, request, shares);
  return {
    ...taken,
    deadLetters: undefined,
    dueIn: undefined,
    scan,
    more: taken.slices.length > 0 && (locked.more || shares.length < groups.length),
  };
}

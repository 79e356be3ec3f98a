import { texts, type Transaction } from "@sluice/database";

import { fromHead } from "../message-group/from-head.ts";
import { limitWaits } from "../message-group/locks.ts";
import { LOOK_AHEAD, millisecond } from "./find-visible.ts";
import type { ScanReport } from "./scan-floor.ts";

export interface AvailableGroup {
  groupId: string;
  /** How many messages can be taken of it at most, as far as one receive can take them. */
  messages: number;
}

/** What a claim locks groups for. */
export interface LockRequest {
  queueId: string;
  account: string;
  /** Most messages for each receive that is to be served. */
  maxes: readonly number[];
  /** Where to start, in ms since the epoch; default the front of the queue. See ScanFloor. */
  from?: number | undefined;
  /** Messages that a group had lately, as far as one receive took them: a guess. */
  density?: number | undefined;
  /** Groups that are left out. */
  but?: readonly string[] | undefined;
}

export interface LockedGroups {
  groups: AvailableGroup[];
  /** Whether others may be handed out as well. */
  more: boolean;
  /** Where the scan stood; undefined where the queue is paused. */
  scan: ScanReport | undefined;
}

/** Most groups that one claim locks. */
const MAX_GROUPS = 500;

/**
 * Locks groups that may be handed out, the one that has been waiting for longest first, until the receives have about
 * enough.
 *
 * How many messages a group has is known only when they are read, and a group that was locked for nothing is a row
 * written and a group that others skip. So it begins with as many as are enough by the guess, and takes more while they
 * turn out to have less: of 10,000 groups of 100 messages a claim for 1,000 locks 10 (1,054 pages), and not the first
 * 500 (52,155 pages).
 */
export async function lockEnough(tx: Transaction, request: LockRequest): Promise<LockedGroups> {
  const wanted = request.maxes.reduce((sum, max) => sum + max, 0);
  const groups: AvailableGroup[] = [];
  const { but = [] } = request;
  let { density = 1 } = request;
  let scan: ScanReport | undefined;
  for (;;) {
    const left = wanted - messagesIn(groups);
    const limit = Math.min(MAX_GROUPS - groups.length, enoughFor(request.maxes, left, density));
    const found = await lockAvailable(tx, request, {
      limit,
      but: [...but, ...groups.map(({ groupId }) => groupId)],
    });
    scan ??= found.scan;
    groups.push(...found.groups);
    const more = found.groups.length === limit;
    // Content with half, as a claim of a standard queue is.
    if (!more || groups.length === MAX_GROUPS || 2 * messagesIn(groups) >= wanted)
      return { groups, more, scan };
    density = messagesIn(groups) / groups.length;
  }
}

/** Groups that so many messages need: a receive takes of each as many as the guess says, or as it has room for. */
function enoughFor(maxes: readonly number[], messages: number, density: number): number {
  const wanted = maxes.reduce((sum, max) => sum + max, 0);
  const groups = maxes.reduce((sum, max) => sum + Math.ceil(max / density), 0);
  return Math.ceil((messages / wanted) * groups);
}

function messagesIn(groups: readonly AvailableGroup[]): number {
  return groups.reduce((sum, group) => sum + group.messages, 0);
}

/**
 * A paused queue has none. Groups whose row is locked are skipped, but not overlooked: where the first one stands,
 * locked or not, is where the next claim has to begin.
 */
async function lockAvailable(
  tx: Transaction,
  { queueId, account, maxes, from = -Infinity }: LockRequest,
  { limit, but }: { limit: number; but: readonly string[] },
): Promise<Omit<LockedGroups, "more">> {
  const rows = await tx<GroupRow[]>`
    WITH queue AS MATERIALIZED (
      SELECT clock_timestamp() AS now, timestamptz 'epoch' + ${millisecond(from)}::bigint * interval '1 millisecond' AS floor
      FROM queues WHERE id = ${queueId}::bigint AND account = ${account}::bigint AND NOT paused
    ), locked AS (
      SELECT g.queue_id, g.group_id, g.head_sequence, g.available_at FROM fifo_groups g
      WHERE g.queue_id = ${queueId}::bigint AND g.account = ${account}::bigint
        AND g.available_at >= (SELECT floor FROM queue) AND g.available_at <= (SELECT now FROM queue)
        AND g.group_id <> ALL(${texts(but)}::text[])
      ORDER BY g.queue_id, g.available_at
      LIMIT ${limit}::int
      FOR UPDATE OF g SKIP LOCKED
    ), first AS MATERIALIZED (
      SELECT (SELECT g.available_at FROM fifo_groups g
              WHERE g.queue_id = ${queueId}::bigint AND g.account = ${account}::bigint
                AND g.available_at >= queue.floor AND g.available_at < queue.now + ${LOOK_AHEAD}::int * interval '1 millisecond'
              ORDER BY g.queue_id, g.available_at LIMIT 1) AS available_at
      FROM queue
    )
    SELECT g.group_id, front.messages, extract(epoch FROM queue.now)::float8 * 1000 AS now,
           extract(epoch FROM first.available_at)::float8 * 1000 AS first
    FROM queue CROSS JOIN first LEFT JOIN locked g ON true LEFT JOIN LATERAL (
      SELECT coalesce(sum(bit_count(f.pending::bit(64))), 0)::int AS messages FROM (
        SELECT s.pending FROM fifo_slices s
        WHERE ${fromHead(tx)}
        ORDER BY s.queue_id, s.group_id, s.sequence LIMIT ${Math.max(...maxes)}::int
      ) f
    ) front ON true
    ORDER BY g.available_at`;
  const [summary] = rows;
  const most = Math.max(...maxes);
  return {
    // Locked and available, it has at least one message, even where the count was too early to see it.
    groups: rows.flatMap(({ group_id, messages }) =>
      group_id === null
        ? []
        : [{ groupId: group_id, messages: Math.min(most, Math.max(1, messages)) }],
    ),
    scan: summary && { now: summary.now, first: summary.first ?? undefined },
  };
}

interface GroupRow {
  /** Null where there is none. */
  group_id: string | null;
  messages: number;
  now: number;
  /** Of the first group that may be handed out now or soon. */
  first: number | null;
}

/**
 * Waits for the group that has been waiting for longest, when all that may be handed out are locked, but not for long:
 * other groups may come to be handed out meanwhile. For that one alone: a scan that found it handed out after all would
 * keep its lock and wait for the next group, and that in no order of groups.
 *
 * @throws What isLockNotAvailable knows, when it is locked for longer than the `lockTimeout`.
 */
export async function waitForFirst(
  tx: Transaction,
  request: LockRequest,
  lockTimeout: string,
): Promise<AvailableGroup[]> {
  const [, groups] = await Promise.all([limitWaits(tx, lockTimeout), lockFirst(tx, request)]);
  return groups;
}

async function lockFirst(
  tx: Transaction,
  { queueId, account, maxes, from = -Infinity }: LockRequest,
): Promise<AvailableGroup[]> {
  const rows = await tx<{ group_id: string }[]>`
    SELECT g.group_id FROM fifo_groups g
    WHERE g.queue_id = ${queueId}::bigint AND g.account = ${account}::bigint AND g.available_at <= (SELECT clock_timestamp())
      AND g.group_id = (
        SELECT first.group_id FROM fifo_groups first
        WHERE first.queue_id = ${queueId}::bigint AND first.account = ${account}::bigint
          AND first.available_at >= timestamptz 'epoch' + ${millisecond(from)}::bigint * interval '1 millisecond'
          AND first.available_at <= (SELECT clock_timestamp())
        ORDER BY first.queue_id, first.available_at LIMIT 1)
    FOR UPDATE OF g`;
  return rows.map((row) => ({ groupId: row.group_id, messages: Math.max(...maxes) }));
}

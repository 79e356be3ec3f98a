import { numbers, texts, type Fragment, type Transaction } from "@sluice/database";

import { groupRow } from "./group-row.ts";
import { slicesAt } from "./slices-at.ts";

/** A message group of one FIFO queue. */
export interface GroupKey {
  queueId: string;
  groupId: string;
}

/** Where messages of a FIFO queue are; see `fifoSlices`. */
export interface FifoPlace {
  queueId: string;
  sequence: string;
}

export interface LockOptions {
  /** How long the transaction waits for each lock from here on; default: as long as its connection does. */
  lockTimeout?: string | undefined;
  /** SQL: whether anything is to be locked, asked before the first lock. Default: it is. */
  onlyIf?: Fragment | undefined;
}

/** Locks of queues are the advisory ones from 2^62 on; the others are below, and those of processes far below. */
const QUEUE_LOCKS = "4611686018427387904";
const ATTEMPT_LOCKS = "2305843009213693952";
const TOPIC_LOCKS = "1152921504606846976";
const FAN_OUT_LOCKS = "576460752303423488";

/*
 * What happens to the messages of a FIFO queue happens in a short transaction: first lock, then act, in statements of
 * their own. Under READ COMMITTED a statement sees what was committed before it began; one that waits for a lock and
 * acts then would act on what was there before it waited. The second statement sees everything that the lock protects.
 *
 * Everybody locks in this order, so nobody waits in a circle:
 *
 *   1. queues, in order of their ids: whoever adds messages to one (sends, moves), since commits give their order
 *   2. groups, in order of (queue, group): whoever changes anything about their messages
 *
 * A claim skips groups that are locked, or waits for a single one while it holds none.
 */

/**
 * How long a dispatcher waits for whoever holds a queue or a topic; a process that stands still must not hold up
 * others.
 */
const LOCK_TIMEOUT = "1s";

/**
 * From here on each wait of this transaction for a lock ends after so long, with an error that isLockNotAvailable
 * knows.
 */
export async function limitWaits(tx: Transaction, lockTimeout = LOCK_TIMEOUT): Promise<void> {
  await tx`SELECT set_config('lock_timeout', ${lockTimeout}, true)`;
}

/** Waits until nobody else adds messages to these queues; their sequences are then taken in the order of commits. */
export async function lockQueues(
  tx: Transaction,
  queueIds: readonly string[],
  options: LockOptions = {},
): Promise<void> {
  const inOrder = [...new Set(queueIds)].sort((a, b) => Number(a) - Number(b));
  await tx`
    SELECT pg_advisory_xact_lock(${QUEUE_LOCKS}::bigint + id) FROM unnest(${numbers(inOrder)}::bigint[]) AS id ${first(tx, options)}`;
}

/**
 * Waits until nobody else publishes to these FIFO topics; their sequences are then taken in the order of commits.
 *
 * @param lockTimeout - As in LockOptions.
 */
export async function lockTopics(
  tx: Transaction,
  topicIds: readonly string[],
  lockTimeout?: string,
): Promise<void> {
  const inOrder = [...new Set(topicIds)].sort((a, b) => Number(a) - Number(b));
  await tx`
    SELECT pg_advisory_xact_lock(${TOPIC_LOCKS}::bigint + id) FROM unnest(${numbers(inOrder)}::bigint[]) AS id ${first(tx, { lockTimeout })}`;
}

/** Waits until no other dispatcher fans this FIFO topic out. Taken before the locks of its queues. */
export async function lockFanOut(tx: Transaction, topicId: string): Promise<void> {
  await tx`SELECT pg_advisory_xact_lock(${FAN_OUT_LOCKS}::bigint + ${topicId}::bigint)`;
}

/**
 * Waits until no other receive with this attempt id is under way. Taken before any other lock.
 *
 * @param lockTimeout - As in LockOptions.
 */
export async function lockAttempt(
  tx: Transaction,
  { queueId, attemptId, lockTimeout }: { queueId: string; attemptId: string; lockTimeout: string },
): Promise<void> {
  await tx`
    SELECT pg_advisory_xact_lock(
      hashtextextended(${`${queueId}/${attemptId}`}, 0) & (${ATTEMPT_LOCKS}::bigint - 1) | ${ATTEMPT_LOCKS}::bigint) ${first(tx, { lockTimeout })}`;
}

/** Locks those of these groups that have messages, and tells which. With `skipLocked` only those that nobody holds. */
export async function lockGroups(
  tx: Transaction,
  groups: readonly GroupKey[],
  { skipLocked = false, ...options }: LockOptions & { skipLocked?: boolean } = {},
): Promise<GroupKey[]> {
  const lock = skipLocked ? tx`FOR UPDATE SKIP LOCKED` : tx`FOR UPDATE`;
  const rows = await tx<GroupRow[]>`
    SELECT g.queue_id, g.group_id
    FROM (SELECT DISTINCT * FROM unnest(
      ${numbers(groups.map((group) => group.queueId))}::bigint[],
      ${texts(groups.map((group) => group.groupId))}::text[]
    ) AS k(queue_id, group_id) ${first(tx, options)} ORDER BY queue_id, group_id) k ${groupRow(tx, lock)}`;
  return rows.map(groupOf);
}

/**
 * Locks the groups that have messages at these places, and tells which. A message never changes its group.
 *
 * @param lockTimeout - As in LockOptions.
 */
export async function lockGroupsAt(
  tx: Transaction,
  places: readonly FifoPlace[],
  lockTimeout?: string,
): Promise<GroupKey[]> {
  const rows = await tx<GroupRow[]>`
    SELECT g.queue_id, g.group_id
    FROM (
      SELECT DISTINCT s.queue_id, s.group_id
      FROM unnest(
        ${numbers(places.map((place) => place.queueId))}::bigint[],
        ${numbers(places.map((place) => place.sequence))}::bigint[]
      ) AS m(queue_id, sequence) ${slicesAt(tx)} ${first(tx, { lockTimeout })}
      ORDER BY s.queue_id, s.group_id
    ) k ${groupRow(tx, tx`FOR UPDATE`)}`;
  return rows.map(groupOf);
}

/**
 * SQL: has a statement ask whether it is to lock anything, and set how long its transaction waits, before it locks. To
 * do that beforehand would be a round trip more for each.
 */
function first(tx: Transaction, { lockTimeout, onlyIf }: LockOptions) {
  if (lockTimeout === undefined) return onlyIf ? tx`WHERE ${onlyIf}` : tx``;
  const soon = tx`(SELECT set_config('lock_timeout', ${lockTimeout}, true)) IS NOT NULL`;
  return onlyIf ? tx`WHERE ${onlyIf} AND ${soon}` : tx`WHERE ${soon}`;
}

interface GroupRow {
  queue_id: string;
  group_id: string;
}

function groupOf(row: GroupRow): GroupKey {
  return { queueId: row.queue_id, groupId: row.group_id };
}

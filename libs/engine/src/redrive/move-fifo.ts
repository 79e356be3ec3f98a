import { numbers, texts, type Sql, type Transaction } from "@sluice/database";

import { withTimestamp } from "../envelope/envelopes.ts";
import { fromHead } from "../message-group/from-head.ts";
import { arrivals } from "../message-group/arrivals.ts";
import { limitWaits, lockGroups, lockQueues, type GroupKey } from "../message-group/locks.ts";
import { settleGroups } from "../message-group/settle-groups.ts";
import { recordEvents } from "../trace/record-events.ts";
import { endOf, type MoveResult } from "./move-dead-letters.ts";

/** Groups and slices that one transaction looks at. */
const GROUPS = 200;
const SLICES = 1_000;

/**
 * Carries a redrive of a FIFO queue on by one step, in one transaction: the messages change their queue, and the task
 * counts them, or neither. Another dispatcher that is at the same task makes this one do nothing.
 *
 * - A group is moved in its order, to the end of the group of that name where it goes, and gets its sequence there.
 * - A group is left alone while something of it is in flight, when it was handed out since the task started, and from
 *   the first message on that became visible only after that: what comes after it would overtake it. So what fails
 *   again is not moved again, and a task ends.
 * - A message that has nowhere to go (it was sent to the dead-letter queue, or its queue was deleted) stays. A task
 *   whose destination was deleted before all had gone there has failed.
 * - It is kept there for as long as if it had just been sent.
 * - The rate bounds what has been moved since the start; slices go whole, as soon as the rate has made room for them.
 */
export async function moveFifo(sql: Sql, taskId: string): Promise<MoveResult> {
  return await sql.begin(async (tx) => {
    const [task] = await tx<Task[]>`
      SELECT t.id, t.account, t.source_queue_id, t.destination_queue_id, t.created_at::text,
             (SELECT q.retention FROM queues q WHERE q.id = t.source_queue_id AND q.account = t.account) AS retention
      FROM redrive_tasks t WHERE t.id = ${taskId}::uuid AND t.status = 'running'
      FOR UPDATE OF t SKIP LOCKED`;
    if (!task) return { messages: 0, queueIds: [], more: false };
    await limitWaits(tx);
    const targets = await lockTargets(tx, task);
    const groups = await lockMovable(tx, task, targets);
    const moved = await move(tx, task, { groups, targets });
    await settleGroups(tx, groups);
    await record(tx, task, moved.messages);
    return moved;
  });
}

interface Task {
  id: string;
  account: string;
  source_queue_id: string;
  destination_queue_id: string | null;
  /** As text, so that no microsecond is lost. */
  created_at: string;
  /** Null when the dead-letter queue was deleted: then nothing is left to be moved. */
  retention: number | null;
}

/** Locks the dead-letter queue and where its messages go, against others that add to them and against deletion. */
async function lockTargets(tx: Transaction, task: Task): Promise<string[]> {
  const wanted = await tx<{ target: string }[]>`
    SELECT DISTINCT target FROM (${movable(tx, task)}) m`;
  const targets = wanted.map((row) => row.target);
  await lockQueues(tx, [task.source_queue_id, ...targets]);
  const present = await tx<{ id: string }[]>`
    SELECT id FROM queues WHERE id = ANY(${numbers(targets)}::bigint[]) AND account = ${task.account}::bigint
    ORDER BY id FOR KEY SHARE SKIP LOCKED`;
  return present.map((row) => row.id);
}

/** Locks the groups that something is moved from, with those of the same names that it is moved to. */
async function lockMovable(
  tx: Transaction,
  task: Task,
  targets: readonly string[],
): Promise<GroupKey[]> {
  const rows = await tx<{ group_id: string }[]>`
    SELECT DISTINCT group_id FROM (${movable(tx, task)}) m`;
  const locked = await lockGroups(
    tx,
    rows.flatMap(({ group_id: groupId }) =>
      [task.source_queue_id, ...targets].map((queueId) => ({ queueId, groupId })),
    ),
  );
  return locked.filter((group) => group.queueId === task.source_queue_id);
}

async function move(
  tx: Transaction,
  task: Task,
  { groups, targets }: { groups: readonly GroupKey[]; targets: readonly string[] },
): Promise<MoveResult> {
  const locked = groups.map((group) => group.groupId);
  const rows = await tx<{ queue_id: string; messages: number; slices: number }[]>`
    WITH task AS MATERIALIZED (
      SELECT clock_timestamp() AS now,
             coalesce(rate * extract(epoch FROM clock_timestamp() - created_at), 9e15)::float8 - moved AS budget
      FROM redrive_tasks WHERE id = ${task.id}::uuid
    ), leaving AS (
      SELECT m.* FROM (${movable(tx, task)}) m
      WHERE m.target = ANY(${numbers(targets)}::bigint[]) AND m.group_id = ANY(${texts(locked)}::text[])
    ), counted AS (
      SELECT *, sum(bit_count(pending::bit(64))) OVER (ORDER BY group_id, sequence, pending & -pending ROWS UNBOUNDED PRECEDING) AS upto
      FROM leaving
    ), numbered AS MATERIALIZED (
      SELECT c.row, c.target, nextval('fifo_sequences') AS sequence
      FROM (SELECT * FROM counted ORDER BY group_id, sequence, pending & -pending) c, task
      WHERE c.upto <= task.budget
    ), moved AS (
      UPDATE fifo_slices s
      SET queue_id = n.target, sequence = n.sequence, visible_at = task.now, sent_at = task.now,
          envelope = ${withTimestamp(tx)}, lease = 0, receive_count = 0, received_at = NULL, first_received_at = NULL, delayed = false, source_queue_id = NULL, failure_reason = NULL
      FROM numbered n, task WHERE s.ctid = n.row
      RETURNING s.queue_id, s.group_id, s.account, s.batch_id, s.sequence, s.visible_at, s.pending
    ), ${arrivals(tx, tx`moved`)}, ledger AS (
      INSERT INTO queue_ledger (account, queue_id, kind, messages)
      SELECT account, queue_id, 'redrivenIn', sum(bit_count(pending::bit(64))) FROM moved GROUP BY account, queue_id
      UNION ALL
      SELECT account, ${task.source_queue_id}::bigint, 'redriven', sum(bit_count(pending::bit(64))) FROM moved GROUP BY account
    ), events AS (
      ${recordEvents(tx, "redriven", redriven(tx, task), ["destination", "sequence"])}
    )
    SELECT queue_id, sum(bit_count(pending::bit(64)))::int AS messages, count(*)::int AS slices FROM moved GROUP BY queue_id`;
  const slices = rows.reduce((sum, row) => sum + row.slices, 0);
  return {
    messages: rows.reduce((sum, row) => sum + row.messages, 0),
    queueIds: rows.map((row) => row.queue_id),
    // A step that was cut off by its size has looked at all groups it may, or at all slices.
    more: slices > 0 && (slices === SLICES || groups.length === GROUPS),
  };
}

/** SQL: what was moved, with its place where it went. */
function redriven(tx: Transaction, task: Task) {
  return tx`(
        SELECT account, ${task.source_queue_id}::bigint AS queue_id, queue_id AS to_queue_id, batch_id, pending AS mask, sequence
        FROM moved)`;
}

async function record(tx: Transaction, task: Task, messages: number): Promise<void> {
  await tx`
    UPDATE redrive_tasks
    SET moved = moved + ${messages}::int,
        status = CASE WHEN left_to_move THEN status ELSE ${endOf(tx, "redrive_tasks")} END,
        finished_at = CASE WHEN left_to_move THEN NULL ELSE clock_timestamp() END
    FROM (SELECT EXISTS (${movable(tx, task)}) AS left_to_move) l
    WHERE id = ${task.id}::uuid`;
}

/**
 * SQL: the next slices that a redrive has to move, of groups in the order of their first messages, each up to the first
 * slice that is not to be moved yet. What has nowhere to go is left out: nothing overtakes it.
 */
function movable(sql: Sql | Transaction, task: Task) {
  const isMovable = sql`
    ${fromHead(sql)}
    AND s.sent_at > clock_timestamp() - make_interval(secs => ${task.retention}::int)
    AND EXISTS (SELECT FROM queues target
                WHERE target.id = coalesce(${task.destination_queue_id}::bigint, s.source_queue_id)
                  AND target.account = ${task.account}::bigint)`;
  return sql`
    SELECT s.row, s.group_id, s.sequence, s.pending, coalesce(${task.destination_queue_id}::bigint, s.source_queue_id) AS target
    FROM (
      SELECT g.queue_id, g.group_id, g.head_sequence FROM fifo_groups g
      WHERE g.queue_id = ${task.source_queue_id}::bigint AND g.account = ${task.account}::bigint
        AND g.available_at <= ${task.created_at}::text::timestamptz
        -- Not just that it has one: groups whose first one is to be left would fill the limit, and the task end with others to be moved.
        AND (SELECT s.visible_at FROM fifo_slices s WHERE ${isMovable}
             ORDER BY s.queue_id, s.group_id, s.sequence, s.pending & -s.pending LIMIT 1) <= ${task.created_at}::text::timestamptz
      ORDER BY g.queue_id, g.available_at LIMIT ${GROUPS}::int
    ) g
    CROSS JOIN LATERAL (
      SELECT f.*, bool_and(f.visible_at <= ${task.created_at}::text::timestamptz) OVER (
               ORDER BY f.sequence, f.pending & -f.pending ROWS UNBOUNDED PRECEDING) AS settled
      FROM (
        SELECT s.ctid AS row, s.group_id, s.sequence, s.pending, s.visible_at, s.source_queue_id FROM fifo_slices s
        WHERE ${isMovable}
        ORDER BY s.queue_id, s.group_id, s.sequence, s.pending & -s.pending LIMIT ${SLICES}::int
      ) f
    ) s
    WHERE s.settled LIMIT ${SLICES}::int`;
}

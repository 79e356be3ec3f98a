import type { Fragment, Sql, Transaction } from "@sluice/database";

import { withTimestamp } from "../envelope/envelopes.ts";
import { recordEvents } from "../trace/record-events.ts";

export interface MoveResult {
  /** Messages moved by this step. */
  messages: number;
  /** Queues that have them now. */
  queueIds: string[];
  /** More to move at once: the step was cut off by its size, not by the rate or the end. */
  more: boolean;
}

/** Slices moved by one statement. */
const STEP = 1_000;
/**
 * Slices that one looks at: to pass a million that have nowhere to go takes two seconds, and a statement has twenty.
 * Far more than there are of one time, which is where the next one begins.
 */
const LOOK = 100_000;

/** The redrives that are under way. */
export async function runningRedrives(sql: Sql): Promise<{ id: string; fifo: boolean }[]> {
  return await sql<{ id: string; fifo: boolean }[]>`
    SELECT t.id, coalesce(q.fifo, false) AS fifo FROM redrive_tasks t
    LEFT JOIN queues q ON q.id = t.source_queue_id AND q.account = t.account
    WHERE t.status = 'running' ORDER BY t.id`;
}

/**
 * Carries a redrive on by one step, in one statement: the messages change their queue, and the task counts them, or
 * neither. Another dispatcher that is at the same task makes this one do nothing.
 *
 * - Only what was visible when the task started is moved: a message that fails again comes back later than that, so a
 *   task ends.
 * - A message goes back to where it came from, or to the task's destination, which is locked against deletion
 *   meanwhile. One that has nowhere to go (it was sent to the dead-letter queue, or its queue was deleted) stays. A
 *   task whose destination was deleted before all had gone there has failed.
 * - A step begins where the last one did, not at the front, where the dead entries of what was moved may still lie, or
 *   behind what that has found to stay. It passes nothing that a receive or a deletion has locked just now. One that
 *   comes to the end without finding anything looks at the front again, and the task is over when nothing is left there
 *   either.
 * - It is kept there for as long as if it had just been sent: dead-letter queues keep messages for longer than those
 *   that they come from, and what is older than these keep any would be lost.
 * - The rate bounds what has been moved since the start; slices go whole, as soon as the rate has made room for them.
 */
export async function moveDeadLetters(sql: Sql, taskId: string): Promise<MoveResult> {
  const rows = await sql<{ queue_id: string | null; messages: number; more: boolean }[]>`
    WITH task AS MATERIALIZED (
      SELECT t.id, t.account, t.source_queue_id, t.destination_queue_id, t.created_at, t.moved, clock_timestamp() AS now,
             coalesce(t.scanned_to, '-infinity') AS floor,
             clock_timestamp() - make_interval(secs => dlq.retention) AS expired,
             coalesce(t.rate * extract(epoch FROM clock_timestamp() - t.created_at), 9e15)::float8 - t.moved AS budget,
             ${endOf(sql, "t")} AS ended
      FROM redrive_tasks t LEFT JOIN queues dlq ON dlq.id = t.source_queue_id AND dlq.account = t.account
      WHERE t.id = ${taskId}::uuid AND t.status = 'running'
      FOR UPDATE OF t SKIP LOCKED
    ), left_to_move AS MATERIALIZED (
      SELECT * FROM ${leftToMove(sql, sql`(SELECT floor FROM task)`)} s LIMIT ${STEP}::int
    ), movable AS MATERIALIZED (
      SELECT s.ctid AS row, s.pending, s.visible_at, s.batch_id, l.target
      FROM left_to_move l JOIN slices s ON s.ctid = l.row AND s.visible_at = l.visible_at AND s.batch_id = l.batch_id
      WHERE s.queue_id = (SELECT source_queue_id FROM task)
      ORDER BY l.visible_at, l.batch_id
      FOR UPDATE OF s SKIP LOCKED
    ), targets AS MATERIALIZED (
      SELECT id FROM queues WHERE id IN (SELECT target FROM movable) FOR KEY SHARE SKIP LOCKED
    ), passed AS MATERIALIZED (
      -- To where nothing is to be moved, where there is more behind it.
      SELECT CASE WHEN NOT EXISTS (SELECT FROM left_to_move) THEN (
        SELECT s.visible_at FROM slices s WHERE ${mayBeMoved(sql)} AND s.visible_at >= (SELECT floor FROM task)
        ORDER BY s.visible_at, s.batch_id OFFSET ${LOOK - 1}::int LIMIT 1) END AS upto
    ), unfinished AS MATERIALIZED (
      SELECT EXISTS (SELECT FROM left_to_move) OR EXISTS (SELECT FROM passed WHERE upto IS NOT NULL)
             OR EXISTS (SELECT FROM ${leftToMove(sql, sql`timestamptz '-infinity'`)} s) AS more
    ), counted AS (
      SELECT *, sum(bit_count(pending::bit(64))) OVER (ORDER BY visible_at, batch_id ROWS UNBOUNDED PRECEDING) AS upto
      FROM movable
    ), moved AS (
      UPDATE slices s
      SET queue_id = c.target, visible_at = task.now, sent_at = task.now, envelope = ${withTimestamp(sql)}, receive_count = 0, lease = 0, moved = false,
          first_received_at = NULL, source_queue_id = NULL, failure_reason = NULL
      FROM counted c, task
      WHERE s.ctid = c.row AND c.upto <= task.budget AND c.target IN (SELECT id FROM targets)
      RETURNING s.account, task.source_queue_id AS left_queue_id, s.queue_id, s.batch_id, s.pending, s.visible_at
    ), ledger AS (
      INSERT INTO queue_ledger (account, queue_id, kind, messages)
      SELECT account, queue_id, 'redrivenIn', sum(bit_count(pending::bit(64))) FROM moved GROUP BY account, queue_id
      UNION ALL
      SELECT moved.account, task.source_queue_id, 'redriven', sum(bit_count(pending::bit(64)))
      FROM moved, task GROUP BY moved.account, task.source_queue_id
    ), events AS (
      ${recordEvents(sql, "redriven", redriven(sql), ["destination", "visibleAt"])}
    ), recorded AS (
      UPDATE redrive_tasks t
      SET moved = t.moved + (SELECT coalesce(sum(bit_count(pending::bit(64))), 0) FROM moved),
          scanned_to = coalesce((SELECT min(visible_at) FROM left_to_move), (SELECT upto FROM passed)),
          status = CASE WHEN unfinished.more THEN t.status ELSE task.ended END,
          finished_at = CASE WHEN unfinished.more THEN NULL ELSE task.now END
      FROM task, unfinished WHERE t.id = task.id
    )
    SELECT queue_id, sum(bit_count(pending::bit(64)))::int AS messages, false AS more FROM moved GROUP BY queue_id
    UNION ALL
    -- What somebody had locked is not moved: that it is not a whole step says nothing.
    SELECT NULL, 0, upto IS NOT NULL OR (EXISTS (SELECT FROM moved) AND (SELECT count(*) FROM left_to_move) = ${STEP}::int
           AND (SELECT max(c.upto) FROM counted c) <= (SELECT budget FROM task)) FROM passed`;
  const moved = rows.filter((row) => row.queue_id !== null);
  return {
    messages: moved.reduce((sum, row) => sum + row.messages, 0),
    queueIds: moved.map((row) => row.queue_id ?? ""),
    more: rows.some((row) => row.more),
  };
}

/**
 * SQL: what of the next slices from a place on a redrive has still to move, in their order, locked by somebody or not.
 * Task and queue are asked value by value: joined, they would keep the planner from reading the slices in the order of
 * their index, and a step would read and sort the whole queue.
 */
function leftToMove(sql: Sql, floor: Fragment) {
  return sql`(
        SELECT s.row, s.visible_at, s.batch_id, s.target FROM (
          SELECT s.ctid AS row, s.visible_at, s.batch_id, s.sent_at, s.account, ${target(sql)} AS target
          FROM slices s WHERE ${mayBeMoved(sql)} AND s.visible_at >= ${floor}
          ORDER BY s.visible_at, s.batch_id LIMIT ${LOOK}::int
        ) s
        WHERE s.sent_at > (SELECT expired FROM task) AND (SELECT q.account FROM queues q WHERE q.id = s.target) = s.account
      )`;
}

/** SQL: whether the slice `s` was visible in the dead-letter queue when the task started. */
function mayBeMoved(sql: Sql) {
  return sql`s.queue_id = (SELECT source_queue_id FROM task) AND s.account = (SELECT account FROM task)
        AND s.visible_at <= (SELECT created_at FROM task)`;
}

/** SQL: what the task is that has nothing left to move, before that is counted in which moved the last. */
export function endOf(sql: Sql | Transaction, task: string) {
  const t = sql(task);
  return sql`CASE WHEN ${t}.moved < ${t}.total AND ${t}.destination_queue_id IS NOT NULL
                       AND NOT EXISTS (SELECT FROM queues d WHERE d.id = ${t}.destination_queue_id) THEN 'failed' ELSE 'completed' END`;
}

/** SQL: what left the dead-letter queue, with where it went. */
function redriven(sql: Sql) {
  return sql`(
        SELECT account, left_queue_id AS queue_id, queue_id AS to_queue_id, batch_id, pending AS mask, visible_at FROM moved)`;
}

/** SQL: the id of the queue that the slice `s` goes to. */
function target(sql: Sql) {
  return sql`coalesce((SELECT destination_queue_id FROM task), s.source_queue_id)`;
}

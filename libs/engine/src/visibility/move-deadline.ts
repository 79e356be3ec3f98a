import { numbers, sendNothingBehind, texts, type Sql } from "@sluice/database";

import { heldSlices, type AppliedMark, type Lookup } from "../receipt-handle/apply-marks.ts";
import type { SliceMark } from "../receipt-handle/slice-marks.ts";
import type { LockWaits } from "../write/lock-waits.ts";

/** Marks messages that become visible `timeout` seconds from now, by the database clock. */
export interface DeadlineMark extends SliceMark {
  timeout: number;
  /** Why the consumer gives them back; "" says nothing. */
  reason: string;
  /**
   * Nobody has seen them: their receive does not count; also when its time is over, where nobody has received them
   * since.
   */
  unseen: boolean;
  /**
   * Of FIFO queues: only where they are hidden until then, in ms since the epoch, and so nobody else has got them by a
   * repeat of the receive.
   */
  heldUntil?: number | undefined;
}

export interface ReleaseOptions {
  /** Where to wait for locks. Default: on the connection of the statement. */
  waits?: LockWaits;
}

export interface MovedMark extends AppliedMark {
  /** Nothing was changed: it would be hidden for longer than a receive may hold something. */
  beyond: boolean;
}

/** Longest that a message stays hidden, in seconds from the receive (LIMITS: visibility timeout). */
export const MAX_HELD = 43_200;

/**
 * Moves the deadline of messages that their receives still hold: of a whole slice in place, of some of its messages
 * by splitting it. From then on the row is found as `moved`, since its deadline is no longer that of the handle.
 *
 * A millisecond more than the limit is allowed: a receive rounds its own deadline up to whole ones.
 */
export async function moveDeadline(
  sql: Sql,
  marks: readonly DeadlineMark[],
  { lookup, lockTimeout }: { lookup: Lookup; lockTimeout?: string | undefined },
): Promise<MovedMark[]> {
  const query = sql<MovedMark[]>`
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    found AS MATERIALIZED (
      SELECT m.position, s.ctid AS row, s.lease, s.pending & m.mask AS done, s.pending & ~m.mask AS rest,
             now + make_interval(secs => t.timeout) AS deadline, nullif(t.reason, '') AS reason, t.uncounted::int,
             coalesce(now + make_interval(secs => t.timeout)
               > s.received_at + ${MAX_HELD}::int * interval '1 second' + interval '1 millisecond', false) AS beyond
      FROM ${heldSlices(sql, marks, lookup, lockTimeout)}
      JOIN unnest(
        ${numbers(marks.map((mark) => mark.timeout))}::float8[],
        ${texts(marks.map((mark) => mark.reason))}::text[],
        ${numbers(marks.map((mark) => Number(mark.unseen)))}::bigint[]
      ) WITH ORDINALITY AS t(timeout, reason, uncounted, position) ON t.position = m.position
      CROSS JOIN clock
      WHERE s.visible_at > clock.now OR t.uncounted = 1
    ), whole AS (
      UPDATE slices s SET visible_at = f.deadline, moved = true, failure_reason = coalesce(f.reason, s.failure_reason),
          receive_count = s.receive_count - f.uncounted,
          -- So that it is given back once, however often that is asked for.
          lease = CASE WHEN f.uncounted = 1 THEN 0 ELSE s.lease END,
          first_received_at = CASE WHEN s.receive_count > f.uncounted THEN s.first_received_at END
      FROM found f
      WHERE NOT f.beyond AND f.rest = 0 AND s.ctid = f.row AND s.lease = f.lease AND s.pending = f.done
      RETURNING f.row
    ), rest AS (
      UPDATE slices s SET pending = s.pending & ~f.done FROM found f
      WHERE NOT f.beyond AND f.rest <> 0 AND s.ctid = f.row AND s.lease = f.lease
        AND s.pending & f.done = f.done AND s.pending & ~f.done <> 0
      RETURNING f.row, f.done, f.deadline, f.reason, f.uncounted, s.*
    ), part AS (
      INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, lease, sent_at, received_at, first_received_at,
                          receive_count, moved, source_queue_id, failure_reason, group_id, envelope, published_at)
      SELECT queue_id, deadline, batch_id, done, account, CASE WHEN uncounted = 1 THEN 0 ELSE lease END, sent_at, received_at, CASE WHEN receive_count > uncounted THEN first_received_at END,
             receive_count - uncounted, true,
             source_queue_id, coalesce(reason, failure_reason), group_id, envelope, published_at
      FROM rest
    )
    SELECT position::int, done, beyond, beyond OR row IN (SELECT row FROM whole UNION ALL SELECT row FROM rest) AS applied
    FROM found`;
  if (lockTimeout === undefined) sendNothingBehind(query);
  return await query;
}

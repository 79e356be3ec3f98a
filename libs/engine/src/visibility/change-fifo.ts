import { numbers, texts, type Sql, type Transaction } from "@sluice/database";

import { placeOfMark } from "../acknowledge/acknowledge-fifo.ts";
import { lockGroupsAt } from "../message-group/locks.ts";
import { slicesAt } from "../message-group/slices-at.ts";
import { settleGroups } from "../message-group/settle-groups.ts";
import { MAX_HELD, type DeadlineMark, type ReleaseOptions } from "./move-deadline.ts";

/** What became of a mark: the bits whose deadline was moved, and those whose deadline would be too late. */
export interface MovedFifo {
  done: bigint;
  beyond: bigint;
}

/**
 * Moves the deadline of messages of FIFO queues that their receives still hold. A group may be handed out again when
 * the last of its messages in flight is visible.
 *
 * Where deadlines differ within a slice it is split into runs: each part has all the lower bits or all the higher ones,
 * so that parts stand in order.
 *
 * @param marks - Each bit in one of them only.
 */
export async function changeFifo(
  sql: Sql,
  marks: readonly DeadlineMark[],
  { waits }: ReleaseOptions = {},
): Promise<{ moved: MovedFifo[]; available: string[] }> {
  const change = (lockTimeout?: string) =>
    sql.begin(async (tx) => {
      const groups = await lockGroupsAt(tx, marks.map(placeOfMark), lockTimeout);
      if (groups.length === 0) return { rows: [], available: [] };
      // Sent together, run one after the other.
      const [changed, settled] = await Promise.all([moveHeld(tx, marks), settleGroups(tx, groups)]);
      return { rows: changed, available: settled };
    });
  const { rows, available } = await (waits ? waits.run(change) : change());
  const moved = marks.map((): MovedFifo => ({ done: 0n, beyond: 0n }));
  for (const { position, beyond, done } of rows) {
    const of = moved[position - 1];
    if (of) of[beyond ? "beyond" : "done"] |= BigInt(done);
  }
  return { moved, available };
}

async function moveHeld(
  tx: Transaction,
  marks: readonly DeadlineMark[],
): Promise<{ position: number; done: string; beyond: boolean }[]> {
  return await tx`
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    found AS MATERIALIZED (
      SELECT m.position, s.row, s.pending, s.pending & m.mask AS done, clock.now + make_interval(secs => m.timeout) AS deadline,
             nullif(m.reason, '') AS reason, m.uncounted::int,
             -- A receive rounds its own deadline up to whole milliseconds.
             clock.now + make_interval(secs => m.timeout)
               > s.received_at + ${MAX_HELD}::int * interval '1 second' + interval '1 millisecond' AS beyond
      FROM unnest(
        ${numbers(marks.map((mark) => mark.queueId))}::bigint[],
        ${numbers(marks.map((mark) => mark.visibleAt))}::bigint[],
        ${numbers(marks.map((mark) => mark.batchId))}::bigint[],
        ${numbers(marks.map((mark) => mark.lease))}::bigint[],
        ${numbers(marks.map((mark) => mark.mask))}::bigint[],
        ${numbers(marks.map((mark) => mark.timeout))}::float8[],
        ${texts(marks.map((mark) => mark.reason))}::text[],
        ${numbers(marks.map((mark) => Number(mark.unseen)))}::bigint[],
        ${numbers(marks.map((mark) => Math.round(mark.heldUntil ?? 0)))}::bigint[]
      ) WITH ORDINALITY AS m(queue_id, sequence, batch_id, lease, mask, timeout, reason, uncounted, held_until, position)
      ${slicesAt(tx)} CROSS JOIN clock
      WHERE s.batch_id = m.batch_id AND s.lease = m.lease AND s.pending & m.mask <> 0 AND (s.visible_at > clock.now OR m.uncounted = 1)
        AND (m.held_until = 0 OR s.visible_at = timestamptz 'epoch' + m.held_until * interval '1 millisecond')
    ), bits AS (
      SELECT row, bit, deadline, reason, uncounted FROM found, generate_series(0, 62) bit WHERE NOT beyond AND done >> bit & 1 = 1
      UNION ALL
      SELECT row, bit, NULL, NULL, 0 FROM (SELECT row, pending & ~bit_or(done) AS kept FROM found WHERE NOT beyond GROUP BY row, pending) k,
        generate_series(0, 62) bit WHERE kept >> bit & 1 = 1
    ), compared AS (
      SELECT *, (deadline, reason, uncounted)
               IS DISTINCT FROM (lag(deadline) OVER inorder, lag(reason) OVER inorder, lag(uncounted) OVER inorder) AS differs FROM bits
      WINDOW inorder AS (PARTITION BY row ORDER BY bit)
    ), in_runs AS (
      SELECT *, count(*) FILTER (WHERE differs) OVER (PARTITION BY row ORDER BY bit) AS run FROM compared
    ), runs AS MATERIALIZED (
      SELECT row, deadline, reason, uncounted, bit_or(1::bigint << bit) AS pending, count(*) OVER (PARTITION BY row) AS runs
      FROM in_runs GROUP BY row, run, deadline, reason, uncounted
    ), whole AS (
      UPDATE fifo_slices s SET visible_at = r.deadline, failure_reason = coalesce(r.reason, s.failure_reason),
          receive_count = s.receive_count - r.uncounted,
          -- So that it is given back once, however often that is asked for.
          lease = CASE WHEN r.uncounted = 1 THEN 0 ELSE s.lease END,
          first_received_at = CASE WHEN s.receive_count > r.uncounted THEN s.first_received_at END
      FROM runs r WHERE r.runs = 1 AND s.ctid = r.row
    ), parted AS (
      DELETE FROM fifo_slices s USING (SELECT DISTINCT row FROM runs WHERE runs > 1) r WHERE s.ctid = r.row
      RETURNING r.row, s.*
    ), parts AS (
      INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, lease, sent_at, received_at,
                               first_received_at, receive_count, source_queue_id, failure_reason, envelope, published_at)
      SELECT p.queue_id, p.group_id, p.sequence, p.batch_id, r.pending, p.account, coalesce(r.deadline, p.visible_at),
             CASE WHEN r.uncounted = 1 THEN 0 ELSE p.lease END, p.sent_at, p.received_at,
             CASE WHEN p.receive_count > r.uncounted THEN p.first_received_at END, p.receive_count - r.uncounted,
             p.source_queue_id, coalesce(r.reason, p.failure_reason), p.envelope, p.published_at
      FROM parted p JOIN runs r ON r.row = p.row
    )
    SELECT position::int, beyond, bit_or(done) AS done FROM found GROUP BY position, beyond`;
}

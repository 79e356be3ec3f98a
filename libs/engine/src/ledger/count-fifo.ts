import type { Sql } from "@sluice/database";

import { cameAndLeft } from "./came-and-left.ts";
import type { CountedQueue, CountedRow } from "./count-messages.ts";

/** Slices looked at, from the oldest on and from the newest on: a queue that has fewer is counted by them alone. */
const SLICES = 1_000;
/** Held groups looked at: somewhat more than messages can be in flight (LIMITS: 120,000). */
const GROUPS = 125_000;

/**
 * How many messages a FIFO queue holds, at a cost that grows with its groups in flight and not with its backlog.
 *
 * - What is in flight is between the head of a held group and the last sequence of it that was ever received.
 * - A delay is the same for the whole queue, so what is delayed came last: it is counted from the newest message on.
 *   Where that look is cut off, the ledger's sums by the minute give the rest, a minute that is half over half of its
 *   sum. (After a delay was made shorter what waits longer is told from those sums as well.)
 * - What is visible is all that came, less all that left, less these. In a queue of fewer than 1,000 slices it is
 *   counted.
 * - What came first is the oldest, and expires first; a dead letter counts from when it came to its dead-letter queue,
 *   but has been sent before, so that of these the age is that of the oldest among the first 1,000.
 */
export async function countFifo(sql: Sql, queue: CountedQueue): Promise<CountedRow | undefined> {
  const { id, account } = queue;
  const slicesOfQueue = sql`FROM fifo_slices WHERE queue_id = ${id}::bigint AND account = ${account}::bigint`;
  const [row] = await sql<CountedRow[]>`
    WITH ${cameAndLeft(sql, queue)}, held AS MATERIALIZED (
      SELECT coalesce(sum(messages), 0)::float8 AS messages, coalesce(sum(messages) FILTER (WHERE kept), 0)::float8 AS kept
      FROM (
        SELECT bit_count(s.pending::bit(64))::int AS messages, s.sent_at > (SELECT expired FROM clock) AS kept
        FROM (
          SELECT queue_id, group_id, account, head_sequence, received_upto FROM fifo_groups
          WHERE queue_id = ${id}::bigint AND account = ${account}::bigint AND available_at > (SELECT now FROM clock)
          ORDER BY queue_id, available_at LIMIT ${GROUPS}::int
        ) g
        JOIN fifo_slices s ON s.queue_id = g.queue_id AND s.group_id = g.group_id AND s.account = g.account
          AND s.sequence BETWEEN g.head_sequence AND g.received_upto
        WHERE s.visible_at > (SELECT now FROM clock) AND s.receive_count > 0
      ) s
    ), front AS MATERIALIZED (
      SELECT count(*) AS slices, min(sent_at) FILTER (WHERE kept) AS oldest,
             coalesce(sum(messages) FILTER (WHERE kept AND visible), 0)::float8 AS visible,
             coalesce(sum(messages) FILTER (WHERE visible AND NOT kept), 0)::float8 AS expired
      FROM (
        SELECT bit_count(pending::bit(64))::int AS messages, sent_at, sent_at > (SELECT expired FROM clock) AS kept,
               visible_at <= (SELECT now FROM clock) AS visible
        ${slicesOfQueue} ORDER BY queue_id, sequence LIMIT ${SLICES}::int
      ) s
    ), newest AS MATERIALIZED (
      SELECT coalesce(sum(messages) FILTER (WHERE delayed AND kept), 0)::float8 AS delayed,
             count(*) = ${SLICES}::int AND bool_and(delayed) AS all_delayed
      FROM (
        SELECT bit_count(pending::bit(64))::int AS messages, sent_at > (SELECT expired FROM clock) AS kept,
               receive_count = 0 AND visible_at > (SELECT now FROM clock) AS delayed
        ${slicesOfQueue} ORDER BY queue_id DESC, sequence DESC LIMIT ${SLICES}::int
      ) s
    ), waiting AS (
      SELECT CASE WHEN front.slices < ${SLICES}::int THEN newest.delayed
                  ELSE greatest(newest.delayed, round(delays.later + CASE WHEN newest.all_delayed
                    THEN delays.this_minute * extract(epoch FROM clock.next_minute - clock.now)::float8 / 60 ELSE 0 END))
             END AS delayed
      FROM front, newest, delays, clock
    )
    SELECT CASE WHEN front.slices < ${SLICES}::int THEN front.visible
                ELSE greatest(0, resting.messages - held.messages - waiting.delayed - front.expired) END AS visible,
           held.kept AS "inFlight", waiting.delayed,
           CASE WHEN front.oldest > clock.now THEN 0 ELSE floor(extract(epoch FROM clock.now - front.oldest)) END::float8 AS "oldestMessageAge",
           (SELECT json_object_agg(kind, messages) FROM ledger) AS totals
    FROM front, held, waiting, resting, clock`;
  return row;
}

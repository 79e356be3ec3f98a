import type { Sql } from "@sluice/database";

import { cameAndLeft } from "./came-and-left.ts";
import { countFifo } from "./count-fifo.ts";

/** What came to a queue and what left it, in messages since the queue was created. */
export interface QueueTotals {
  /** Sent or fanned out to it. */
  sent: number;
  /** Came as dead letters of other queues. */
  deadLettersIn: number;
  /** Came by a redrive. */
  redrivenIn: number;
  acknowledged: number;
  /** Went to its dead-letter queue. */
  deadLettered: number;
  /** Went by a redrive. */
  redriven: number;
  /** Removed at the end of the retention. */
  expired: number;
  purged: number;
  cancelled: number;
}

export interface QueueCounts {
  visible: number;
  inFlight: number;
  delayed: number;
  /**
   * Seconds since the oldest message was sent; null when the queue is empty. See {@link countMessages} for its limits.
   */
  oldestMessageAge: number | null;
}

export interface CountedQueue {
  id: string;
  account: string;
  fifo: boolean;
  retention: number;
}

/** Visible slices looked at, from the oldest on: a queue that has fewer is counted by them alone. */
const FRONT = 1_000;
/** Hidden slices looked at, from the first that is due on: somewhat more than can be in flight (LIMITS: 120,000). */
const HIDDEN = 125_000;

/** How many messages a queue holds, at a cost that does not grow with its backlog, and how many came and went. */
export async function countMessages(
  sql: Sql,
  queue: CountedQueue,
): Promise<QueueCounts & { totals: QueueTotals }> {
  const row = await (queue.fifo ? countFifo(sql, queue) : countStandard(sql, queue));
  if (!row) throw new Error("counting returned nothing");
  return { ...row, totals: { ...NOTHING, ...row.totals } };
}

/**
 * How many messages a standard queue holds.
 *
 * - What is hidden is counted by the range of the index that is not yet due. The part of it that can be without bound
 *   is what is delayed: where the look is cut off, the ledger's sums for each minute to come give the rest. (What is in
 *   flight is then what was seen among the first 125,000 slices that are due: a lower bound.)
 * - What is visible is all that came, less all that left (the ledger), less what is hidden. In a queue of fewer than
 *   1,000 visible slices it is counted from them.
 * - Messages past their retention do not count when they are among those looked at; others until the clean-up removes
 *   them, within a minute.
 * - The age is that of the oldest of the messages looked at: the 1,000 slices that have been visible for longest, and
 *   the hidden ones. In a longer backlog a message that was received and given back stands behind younger ones, and may
 *   be older than that.
 */
async function countStandard(sql: Sql, queue: CountedQueue): Promise<CountedRow | undefined> {
  const { id, account } = queue;
  const [row] = await sql<CountedRow[]>`
    WITH ${cameAndLeft(sql, queue)}, hidden AS MATERIALIZED (
      SELECT count(*) AS slices, coalesce(sum(messages), 0)::float8 AS messages,
             min(least(sent_at, (SELECT now FROM clock))) FILTER (WHERE kept) AS oldest,
             coalesce(sum(messages) FILTER (WHERE kept AND received), 0)::float8 AS in_flight,
             coalesce(sum(messages) FILTER (WHERE kept AND NOT received), 0)::float8 AS delayed,
             coalesce(sum(messages) FILTER (WHERE kept AND NOT received AND this_minute), 0)::float8 AS due_this_minute,
             coalesce(sum(messages) FILTER (WHERE received), 0)::float8 AS received
      FROM (
        SELECT bit_count(pending::bit(64))::int AS messages, receive_count > 0 AS received, sent_at,
               sent_at > (SELECT expired FROM clock) AS kept, visible_at < (SELECT next_minute FROM clock) AS this_minute
        FROM slices
        WHERE queue_id = ${id}::bigint AND account = ${account}::bigint AND visible_at > (SELECT now FROM clock)
        ORDER BY visible_at, batch_id LIMIT ${HIDDEN}::int
      ) s
    ), front AS MATERIALIZED (
      SELECT count(*) AS slices, min(sent_at) FILTER (WHERE kept) AS oldest,
             coalesce(sum(messages) FILTER (WHERE kept), 0)::float8 AS messages,
             coalesce(sum(messages) FILTER (WHERE NOT kept), 0)::float8 AS expired
      FROM (
        SELECT bit_count(pending::bit(64))::int AS messages, sent_at, sent_at > (SELECT expired FROM clock) AS kept
        FROM slices
        WHERE queue_id = ${id}::bigint AND account = ${account}::bigint AND visible_at <= (SELECT now FROM clock)
        ORDER BY visible_at, batch_id LIMIT ${FRONT}::int
      ) s
    ), waiting AS (
      SELECT CASE WHEN hidden.slices < ${HIDDEN}::int THEN hidden.delayed
             ELSE greatest(hidden.delayed, hidden.due_this_minute + delays.later) END AS delayed,
             CASE WHEN hidden.slices < ${HIDDEN}::int THEN hidden.messages
             ELSE greatest(hidden.messages, hidden.received + hidden.due_this_minute + delays.later) END AS hidden
      FROM hidden, delays
    )
    SELECT CASE WHEN front.slices < ${FRONT}::int THEN front.messages
                ELSE greatest(front.messages, resting.messages - waiting.hidden - front.expired) END AS visible,
           hidden.in_flight AS "inFlight", waiting.delayed,
           floor(extract(epoch FROM clock.now - least(front.oldest, hidden.oldest)))::float8 AS "oldestMessageAge",
           (SELECT json_object_agg(kind, messages) FROM ledger) AS totals
    FROM front, hidden, waiting, resting, clock`;
  return row;
}

const NOTHING: QueueTotals = {
  sent: 0,
  deadLettersIn: 0,
  redrivenIn: 0,
  acknowledged: 0,
  deadLettered: 0,
  redriven: 0,
  expired: 0,
  purged: 0,
  cancelled: 0,
};

export interface CountedRow extends QueueCounts {
  totals: Partial<QueueTotals> | null;
}

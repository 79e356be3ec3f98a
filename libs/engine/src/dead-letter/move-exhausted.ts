import type { Fragment, Sql } from "@sluice/database";

import type { ClaimRequest } from "../receive/claim.ts";
import { askedQueues, exhaustedSlices } from "../receive/visible-slices.ts";
import { recordEvents } from "../trace/record-events.ts";

/** How many messages went to which dead-letter queue. */
export interface DeadLetters {
  queueId: string;
  messages: number;
}

/**
 * Moves the slices to the dead-letter queue that a claim met and left, since they were received as often as their queue
 * allows: whole, each by one update of one row, so it is never in both queues or in neither.
 *
 * Apart from the claim: as a part of its statement this cost each claim that has no dead letters, which is nearly every
 * one, a quarter of the time that the statement takes to begin and end (50 of 190 µs of Postgres). Whoever is killed
 * between the two has moved nothing, and the next claim meets the same slices.
 *
 * The dead-letter queue is locked against deletion: a slice moved into a queue that is being deleted would be lost.
 * Where somebody is deleting it, the slices stay where they are until that is over: the receive would wait, for a
 * process that stands still 20 s. Where it is gone, messages are received again.
 *
 * @param request - Of the claim.
 * @param letters - SQL: which they are; by default those among the slices that the claim looked at.
 * @returns Undefined where none was moved: others have done it, or they have to stay.
 */
export async function moveExhausted(
  sql: Sql,
  request: ClaimRequest,
  letters: Fragment = exhaustedSlices(sql),
): Promise<DeadLetters | undefined> {
  const [moved] = await sql<DeadLetters[]>`
    WITH RECURSIVE ${askedQueues(sql, [request])}, ${letters}, dead_letter_queue AS MATERIALIZED (
      SELECT d.id FROM queues d
      WHERE d.id = (SELECT q.dead_letter_queue_id FROM queue q WHERE EXISTS (SELECT FROM letters))
      FOR KEY SHARE SKIP LOCKED
    ), dead AS (
      UPDATE slices s
      SET queue_id = d.id, visible_at = q.now, lease = 0, receive_count = 0, moved = false,
          first_received_at = NULL, source_queue_id = s.queue_id,
          failure_reason = coalesce(failure_reason, 'received ' || receive_count
            || CASE receive_count WHEN 1 THEN ' time' ELSE ' times' END || ' without being acknowledged')
      FROM letters l JOIN queue q ON q.id = l.queue_id JOIN dead_letter_queue d ON d.id = q.dead_letter_queue_id
      WHERE s.ctid = l.row
      RETURNING s.account, s.queue_id, s.source_queue_id, s.batch_id, s.pending, s.visible_at, s.failure_reason
    ), counted AS (
      SELECT account, queue_id, source_queue_id, sum(bit_count(pending::bit(64)))::int AS messages FROM dead GROUP BY 1, 2, 3
    ), ledger AS (
      INSERT INTO queue_ledger (account, queue_id, kind, messages)
      SELECT account, unnest(ARRAY[source_queue_id, queue_id]), unnest(ARRAY['deadLettered', 'deadLettersIn']), messages
      FROM counted
    ), events AS (
      ${recordEvents(sql, "deadLettered", deadLetters(sql), ["destination", "reason", "visibleAt"])}
    )
    SELECT queue_id AS "queueId", messages FROM counted`;
  return moved;
}

function deadLetters(sql: Sql): Fragment {
  return sql`(SELECT account, source_queue_id AS queue_id, batch_id, pending AS mask, queue_id AS to_queue_id,
              failure_reason AS reason, visible_at FROM dead)`;
}

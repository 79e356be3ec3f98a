import type { Sql } from "@sluice/database";

import { lockAttempt, lockGroupsAt } from "../message-group/locks.ts";
import { settleGroups } from "../message-group/settle-groups.ts";
import { MAX_HELD } from "../visibility/move-deadline.ts";
import type { ClaimedSlice } from "./claimed-slice.ts";
import { byGroup, fifoSlice, type TakenRow } from "./fifo-slice.ts";

/** How long an attempt id counts, in seconds (LIMITS: queues). */
export const ATTEMPT_INTERVAL = 300;

/** A receive that its client can repeat when the answer is lost. */
export interface Attempt {
  /** Most messages that its client asked for. */
  asked: number;
  queueId: string;
  account: string;
  attemptId: string;
  /** Seconds; the queue's own when undefined. */
  visibilityTimeout: number | undefined;
  /** How long it waits for each lock. */
  lockTimeout: string;
}

/**
 * What an earlier receive with this id got, when it still holds all of it, and that is not more than is asked for now:
 * the same messages with the same handles, and their visibility timeout begins anew. Else nothing, and the lease of the
 * receive that has lapsed.
 */
export async function repeatAttempt(
  sql: Sql,
  attempt: Attempt,
): Promise<{ slices: ClaimedSlice[]; lapsed: string | undefined }> {
  const { queueId, account, attemptId, asked, visibilityTimeout } = attempt;
  return await sql.begin(async (tx) => {
    await lockAttempt(tx, attempt);
    const [known] = await tx<Known[]>`
      SELECT lease, sequences::text, message_count AS messages, received_at > clock_timestamp() - make_interval(secs => ${ATTEMPT_INTERVAL}::int) AS recent
      FROM receive_attempts
      WHERE queue_id = ${queueId}::bigint AND attempt_id = ${attemptId} AND account = ${account}::bigint`;
    if (!known?.recent || known.messages > asked) {
      return { slices: [], lapsed: known?.lease };
    }
    const sequences = known.sequences.slice(1, -1).split(",");
    const groups = await lockGroupsAt(
      tx,
      sequences.map((sequence) => ({ queueId, sequence })),
    );
    const rows = await tx<TakenRow[]>`
      WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
      attempt AS MATERIALIZED (
        SELECT lease, sequences, message_count FROM receive_attempts
        WHERE queue_id = ${queueId}::bigint AND attempt_id = ${attemptId} AND account = ${account}::bigint
      ), held AS MATERIALIZED (
        SELECT s.ctid AS row, s.pending FROM attempt a, (SELECT DISTINCT unnest(sequences) AS sequence FROM attempt) at, fifo_slices s, clock
        WHERE s.queue_id = ${queueId}::bigint AND s.account = ${account}::bigint AND s.sequence = at.sequence
          AND s.lease = a.lease AND s.visible_at > clock.now
      ), extended AS (
        UPDATE fifo_slices s
        SET visible_at = least(clock.now + make_interval(secs => coalesce(${visibilityTimeout ?? null}::int, q.visibility_timeout)),
                               s.received_at + make_interval(secs => ${MAX_HELD}::int))
        FROM held, clock, queues q
        WHERE s.ctid = held.row AND q.id = ${queueId}::bigint
          AND (SELECT sum(bit_count(pending::bit(64))) FROM held) = (SELECT message_count FROM attempt)
        RETURNING s.*
      )
      SELECT group_id, sequence, batch_id, pending, lease, receive_count, source_queue_id, failure_reason, envelope,
             extract(epoch FROM sent_at)::float8 * 1000 AS sent_ms,
             extract(epoch FROM first_received_at)::float8 * 1000 AS first_received_ms,
             extract(epoch FROM published_at)::float8 * 1000 AS published_ms
      FROM extended ORDER BY sequence, pending & -pending`;
    await settleGroups(tx, groups);
    return { slices: byGroup(rows.map(fifoSlice)).flat(), lapsed: known.lease };
  });
}

interface Known {
  lease: string;
  sequences: string;
  messages: number;
  recent: boolean;
}

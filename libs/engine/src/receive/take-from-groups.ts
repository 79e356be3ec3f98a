import { numbers, texts, type Transaction } from "@sluice/database";

import { fromHead } from "../message-group/from-head.ts";
import { groupRow } from "../message-group/group-row.ts";
import type { ClaimedSlice } from "./claimed-slice.ts";
import { fifoSlice, type TakenRow } from "./fifo-slice.ts";
import type { Share } from "./share-out.ts";

interface TakeRequest {
  queueId: string;
  account: string;
  /** Seconds; the queue's own when undefined. */
  visibilityTimeout: number | undefined;
  /** Recorded with what is taken, for its repeat. */
  attemptId?: string | undefined;
}

/**
 * Takes the first messages of locked groups: in order, up to the first one that is not to be handed out. Slices of one
 * group have times of their own at which they were received first, as in a standard queue.
 */
export async function takeFromGroups(
  tx: Transaction,
  { queueId, account, visibilityTimeout, attemptId }: TakeRequest,
  shares: readonly Share[],
): Promise<{ slices: ClaimedSlice[]; stuck: string[] }> {
  const rows = await tx<(TakenRow | StuckRow)[]>`
    WITH queue AS MATERIALIZED (
      SELECT clock_timestamp() AS now, clock_timestamp() - make_interval(secs => retention) AS expired, nextval('lease_ids') AS lease,
             CASE WHEN EXISTS (SELECT FROM queues d WHERE d.id = queues.dead_letter_queue_id)
               THEN max_receive_count ELSE 2147483647 END AS max_receive_count,
             date_trunc('milliseconds', clock_timestamp()) + interval '1 millisecond'
               + make_interval(secs => coalesce(${visibilityTimeout ?? null}::int, visibility_timeout)) AS deadline
      FROM queues WHERE id = ${queueId}::bigint AND account = ${account}::bigint
    ), front AS (
      SELECT share.position, share.room, s.*
      FROM unnest(
        ${texts(shares.map((share) => share.groupId))}::text[],
        ${numbers(shares.map((share) => share.messages))}::int[]
      ) WITH ORDINALITY AS share(group_id, room, position)
      -- Looked up one by one: joined, a claim for many receives was planned as one that reads every group of the queue
      -- (of 10,000 groups 42 ms of its 48 ms).
      CROSS JOIN LATERAL (
        SELECT g.queue_id, g.group_id, g.head_sequence FROM fifo_groups g
        WHERE g.queue_id = ${queueId}::bigint AND g.group_id = share.group_id AND g.account = ${account}::bigint
        ORDER BY g.head_sequence DESC LIMIT 1
      ) g
      CROSS JOIN LATERAL (
        SELECT s.ctid AS row, s.group_id, s.sequence, s.pending, s.visible_at, s.sent_at, s.receive_count FROM fifo_slices s
        WHERE ${fromHead(tx)}
        ORDER BY s.queue_id, s.group_id, s.sequence, s.pending & -s.pending LIMIT share.room
      ) s
    ), counted AS MATERIALIZED (
      SELECT f.*, bit_count(f.pending::bit(64)) AS messages, sum(bit_count(f.pending::bit(64))) OVER inorder AS upto,
             bool_and(f.visible_at <= q.now AND f.sent_at > q.expired AND f.receive_count < q.max_receive_count) OVER inorder AS takeable,
             f.visible_at <= q.now AND (f.sent_at <= q.expired OR f.receive_count >= q.max_receive_count)
               AND 1 = row_number() OVER inorder AS stuck
      FROM front f CROSS JOIN queue q
      WINDOW inorder AS (PARTITION BY f.position ORDER BY f.sequence, f.pending & -f.pending ROWS UNBOUNDED PRECEDING)
    ), split AS MATERIALIZED (
      SELECT row, position, upto - messages AS before, (SELECT bit_or(1::bigint << bit) FROM (
               SELECT bit FROM generate_series(0, 62) bit WHERE pending >> bit & 1 = 1
               ORDER BY bit LIMIT room - (upto - messages)) lowest) AS taken
      FROM counted WHERE takeable AND upto > room AND upto - messages < room
    ), whole AS (
      UPDATE fifo_slices s
      SET visible_at = q.deadline, lease = q.lease, received_at = q.now, receive_count = s.receive_count + 1, delayed = false,
          first_received_at = coalesce(s.first_received_at, q.now + (c.upto - c.messages) * interval '1 microsecond')
      FROM counted c, queue q
      WHERE s.ctid = c.row AND c.takeable AND c.upto <= c.room
      RETURNING s.*, c.position
    ), rest AS (
      UPDATE fifo_slices s SET pending = s.pending & ~split.taken FROM split, queue q WHERE s.ctid = split.row
      RETURNING s.*, split.taken, split.position, q.now + split.before * interval '1 microsecond' AS first_time
    ), part AS (
      INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, lease, sent_at, received_at,
                               first_received_at, receive_count, source_queue_id, failure_reason, envelope, published_at)
      SELECT queue_id, group_id, sequence, batch_id, taken, rest.account, q.deadline, q.lease, sent_at, q.now,
             coalesce(first_received_at, first_time), receive_count + 1, source_queue_id, failure_reason, envelope, published_at
      FROM rest, queue q
    ), claimed AS (
      SELECT position, group_id, sequence, batch_id, pending, sent_at, first_received_at, receive_count, source_queue_id,
             failure_reason, envelope, published_at FROM whole
      UNION ALL
      SELECT position, group_id, sequence, batch_id, taken, sent_at, coalesce(first_received_at, first_time), receive_count + 1,
             source_queue_id, failure_reason, envelope, published_at
      FROM rest, queue q
    ), held AS (
      UPDATE fifo_groups t
      SET available_at = q.deadline, head_sequence = k.first, received_upto = greatest(t.received_upto, k.last)
      FROM queue q CROSS JOIN (
        SELECT ${queueId}::bigint AS queue_id, group_id, min(sequence) AS first, max(sequence) AS last FROM claimed GROUP BY group_id
      ) k ${groupRow(tx)}
      WHERE t.ctid = g.row
    ), attempt AS (
      INSERT INTO receive_attempts (queue_id, attempt_id, account, lease, sequences, message_count, received_at)
      SELECT ${queueId}::bigint, ${attemptId ?? null}::text, ${account}::bigint, q.lease, array_agg(DISTINCT c.sequence),
             sum(bit_count(c.pending::bit(64)))::int, q.now
      FROM claimed c, queue q WHERE ${attemptId ?? null}::text IS NOT NULL GROUP BY q.lease, q.now
      ON CONFLICT (queue_id, attempt_id) DO UPDATE
      SET lease = excluded.lease, sequences = excluded.sequences, message_count = excluded.message_count,
          received_at = excluded.received_at
    )
    SELECT c.*, q.lease, extract(epoch FROM c.sent_at)::float8 * 1000 AS sent_ms,
           extract(epoch FROM c.first_received_at)::float8 * 1000 AS first_received_ms,
           extract(epoch FROM c.published_at)::float8 * 1000 AS published_ms, extract(epoch FROM q.deadline)::float8 * 1000 AS deadline_ms
    FROM claimed c, queue q
    UNION ALL
    SELECT position, group_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM counted WHERE stuck
    ORDER BY position, sequence, pending`;
  return {
    slices: rows.filter(isTaken).map(fifoSlice),
    stuck: rows.flatMap((row) => (isTaken(row) ? [] : [row.group_id])),
  };
}

interface StuckRow {
  group_id: string;
  sequence: null;
}

function isTaken(row: TakenRow | StuckRow): row is TakenRow {
  return row.sequence !== null;
}

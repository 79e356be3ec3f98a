import { numbers, texts, type Sql, type Transaction } from "@sluice/database";

import { withTimestamp } from "../envelope/envelopes.ts";
import { fromHead } from "../message-group/from-head.ts";
import { arrivals } from "../message-group/arrivals.ts";
import { groupRow } from "../message-group/group-row.ts";
import { lockGroups, lockQueues } from "../message-group/locks.ts";
import { settleGroups } from "../message-group/settle-groups.ts";
import { recordEvents } from "../trace/record-events.ts";

/** Slices that one transaction looks at, which holds both queues meanwhile. */
const MAX_SLICES = { ofGroup: 1_000, ofAll: 10_000 };

/**
 * Takes away what stands at the head of groups and is not to be handed out: what was received too often goes to the
 * dead-letter queue, in its order and with its group, and is kept there for as long as what is sent then; what has
 * expired is deleted. The first message that is neither ends it.
 *
 * One transaction that holds both queues and the groups in both: a message is never in both queues or in neither, and
 * the group goes on with what comes after it, once.
 *
 * A dead-letter queue that somebody is deleting is not waited for: sends to both queues would wait as well. Its letters
 * stay until that is over.
 *
 * @returns How many messages went to which dead-letter queue, and whether all of them have to stay.
 * @throws What isLockNotAvailable knows, when somebody holds one of the queues or groups for longer than the
 * `lockTimeout`.
 */
export async function clearHeads(
  sql: Sql,
  { queueId, account }: { queueId: string; account: string },
  { groupIds, lockTimeout }: { groupIds: readonly string[]; lockTimeout: string },
): Promise<{ queueId: string; messages: number; isHeld: boolean }> {
  const [queue] = await sql<{ dead_letter_queue_id: string | null }[]>`
    SELECT dead_letter_queue_id FROM queues WHERE id = ${queueId}::bigint AND account = ${account}::bigint`;
  const target = queue?.dead_letter_queue_id ?? null;
  return await sql.begin(async (tx) => {
    const queueIds = target === null ? [queueId] : [queueId, target];
    await lockQueues(tx, queueIds, { lockTimeout });
    const locked = await lockGroups(
      tx,
      queueIds.flatMap((id) => groupIds.map((groupId) => ({ queueId: id, groupId }))),
    );
    const groups = locked.filter((group) => group.queueId === queueId);
    const slices = Math.min(MAX_SLICES.ofGroup, Math.ceil(MAX_SLICES.ofAll / (groups.length || 1)));
    const [moved] = await tx<{ messages: number; nothing_left: boolean; no_target: boolean }[]>`
      WITH dead_letter_queue AS MATERIALIZED (
        -- Locked against its deletion: a message moved into a queue that is being deleted would be lost.
        SELECT id FROM queues WHERE id = ${target}::bigint AND account = ${account}::bigint FOR KEY SHARE SKIP LOCKED
      ), queue AS MATERIALIZED (
        SELECT clock_timestamp() AS now, clock_timestamp() - make_interval(secs => retention) AS expired,
               -- Where the queue has another one by now, or none, nothing is moved by this transaction.
               CASE WHEN dead_letter_queue_id = (SELECT id FROM dead_letter_queue)
                 THEN max_receive_count ELSE 2147483647 END AS max_receive_count
        FROM queues WHERE id = ${queueId}::bigint AND account = ${account}::bigint
      ), front AS (
        SELECT s.* FROM unnest(
          ${numbers(groups.map((group) => group.queueId))}::bigint[], ${texts(groups.map((group) => group.groupId))}::text[]
        ) AS k(queue_id, group_id)
        ${groupRow(tx)}
        CROSS JOIN LATERAL (
          SELECT s.ctid AS row, s.group_id, s.sequence, s.batch_id, s.pending, s.visible_at, s.sent_at, s.receive_count FROM fifo_slices s
          WHERE ${fromHead(tx)}
          ORDER BY s.queue_id, s.group_id, s.sequence, s.pending & -s.pending LIMIT ${slices}::int
        ) s
        WHERE g.account = ${account}::bigint AND g.available_at <= (SELECT now FROM queue)
      ), judged AS (
        SELECT f.*, f.sent_at <= q.expired AS is_expired,
               bool_and(f.visible_at <= q.now AND (f.sent_at <= q.expired OR f.receive_count >= q.max_receive_count)) OVER (
                 PARTITION BY f.group_id ORDER BY f.sequence, f.pending & -f.pending ROWS UNBOUNDED PRECEDING) AS leaves
        FROM front f CROSS JOIN queue q
      ), leaving AS MATERIALIZED (
        SELECT * FROM judged WHERE leaves ORDER BY group_id, sequence, pending & -pending
      ), expired AS (
        DELETE FROM fifo_slices s USING leaving l WHERE s.ctid = l.row AND l.is_expired
      ), numbered AS MATERIALIZED (
        SELECT row, nextval('fifo_sequences') AS sequence FROM leaving WHERE NOT is_expired
      ), moved AS (
        UPDATE fifo_slices s
        SET queue_id = ${target}::bigint, sequence = n.sequence, visible_at = q.now, sent_at = q.now,
            envelope = ${withTimestamp(tx)}, lease = 0, receive_count = 0, received_at = NULL, first_received_at = NULL, delayed = false, source_queue_id = s.queue_id,
            failure_reason = coalesce(s.failure_reason, 'received ' || s.receive_count
              || CASE s.receive_count WHEN 1 THEN ' time' ELSE ' times' END || ' without being acknowledged')
        FROM numbered n, queue q WHERE s.ctid = n.row
        RETURNING s.queue_id, s.group_id, s.account, s.batch_id, s.sequence, s.source_queue_id, s.visible_at, s.pending, s.failure_reason
      ), ${arrivals(tx, tx`moved`)}, ledger AS (
        INSERT INTO queue_ledger (account, queue_id, kind, messages)
        SELECT ${account}::bigint, ${queueId}::bigint, 'expired', sum(bit_count(pending::bit(64)))
        FROM leaving WHERE is_expired HAVING count(*) > 0
        UNION ALL
        SELECT account, unnest(ARRAY[${queueId}::bigint, queue_id]), unnest(ARRAY['deadLettered', 'deadLettersIn']),
               sum(bit_count(pending::bit(64)))
        FROM moved GROUP BY account, queue_id
      ), dead_events AS (
        ${recordEvents(tx, "deadLettered", deadLetters(tx), ["destination", "sequence", "reason"])}
      ), expired_events AS (
        ${recordEvents(tx, "expired", expiredHeads(tx, { queueId, account }))}
      )
      SELECT coalesce(sum(bit_count(pending::bit(64))), 0)::int AS messages,
             NOT EXISTS (SELECT FROM leaving) AS nothing_left, NOT EXISTS (SELECT FROM dead_letter_queue) AS no_target
      FROM moved`;
    await settleGroups(tx, groups);
    const { messages = 0, nothing_left = false, no_target = false } = moved ?? {};
    const isHeld = target !== null && no_target && nothing_left;
    return { queueId: target ?? "", messages, isHeld };
  });
}

/** SQL: what was moved, with its place in the dead-letter queue. */
function deadLetters(tx: Transaction) {
  return tx`(
          SELECT account, source_queue_id AS queue_id, queue_id AS to_queue_id, batch_id, pending AS mask, sequence,
                 failure_reason AS reason FROM moved)`;
}

/** SQL: what was deleted. */
function expiredHeads(tx: Transaction, { queueId, account }: { queueId: string; account: string }) {
  return tx`(
          SELECT ${account}::bigint AS account, ${queueId}::bigint AS queue_id, batch_id, pending AS mask
          FROM leaving WHERE is_expired)`;
}

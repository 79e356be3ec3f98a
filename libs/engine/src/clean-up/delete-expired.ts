import type { Sql, Transaction } from "@sluice/database";

import { recordEvents } from "../trace/record-events.ts";
import { readInOrder } from "./read-in-order.ts";

/** What one statement removed. */
export interface Expired {
  slices: number;
  messages: number;
}

/**
 * Removes messages past the retention of their queue, counted from when they were first sent.
 *
 * A message is visible at the earliest when it is sent. So what has been visible for longer than the retention is past
 * it, and the index of each queue has it in front: this reads what it removes and nothing else.
 */
export async function deleteExpired(sql: Sql, limit: number): Promise<Expired> {
  return await sql.begin(async (tx) => {
    await readInOrder(tx);
    return await deleteFound(
      tx,
      tx`
      SELECT s.row FROM queues q CROSS JOIN LATERAL (
        SELECT ctid AS row FROM slices
        WHERE queue_id = q.id AND account = q.account
          AND visible_at <= (SELECT now FROM clock) - make_interval(secs => q.retention)
        ORDER BY visible_at, batch_id LIMIT ${limit}::int FOR UPDATE SKIP LOCKED
      ) s LIMIT ${limit}::int`,
    );
  });
}

/**
 * The same, wherever they are: messages that are hidden, or were received and given back, stand further behind. Nobody
 * can receive them any more; this reads all slices, and is for now and then.
 */
export async function deleteExpiredAnywhere(sql: Sql, limit: number): Promise<Expired> {
  return await deleteFound(
    sql,
    sql`
    SELECT s.ctid AS row FROM slices s JOIN queues q ON q.id = s.queue_id
    WHERE s.sent_at <= (SELECT now FROM clock) - make_interval(secs => q.retention)
    LIMIT ${limit}::int FOR UPDATE OF s SKIP LOCKED`,
  );
}

async function deleteFound(sql: Sql | Transaction, found: ReturnType<Sql>): Promise<Expired> {
  const [row] = await sql<Expired[]>`
    WITH clock AS MATERIALIZED (
      SELECT clock_timestamp() AS now
    ), found AS MATERIALIZED (
      ${found}
    ), expired AS (
      DELETE FROM slices WHERE ctid = ANY(ARRAY(SELECT row FROM found))
      RETURNING account, queue_id, batch_id, pending, receive_count, visible_at
    ), ledger AS (
      INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
      SELECT account, queue_id, 'expired', sum(bit_count(pending::bit(64))), NULL FROM expired GROUP BY account, queue_id
      UNION ALL
      SELECT account, queue_id, 'delayed', -sum(bit_count(pending::bit(64))), date_trunc('minute', visible_at)
      FROM expired, clock WHERE receive_count = 0 AND visible_at > now
      GROUP BY account, queue_id, date_trunc('minute', visible_at)
    ), events AS (
      ${recordEvents(sql, "expired", sql`(SELECT account, queue_id, batch_id, pending AS mask FROM expired)`)}
    )
    SELECT count(*)::int AS slices, coalesce(sum(bit_count(pending::bit(64))), 0)::int AS messages FROM expired`;
  return row ?? { slices: 0, messages: 0 };
}

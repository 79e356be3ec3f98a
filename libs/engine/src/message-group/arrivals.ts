import type { Sql, Transaction } from "@sluice/database";

/**
 * SQL: `arrived`, which makes the groups of slices that came to a queue (queue_id, group_id, account, visible_at,
 * sequence), where they are not there. One that is goes on from where it is. The transaction holds the locks of the
 * queues, so nobody else makes one, and of the groups, so none goes.
 */
export function arrivals(sql: Sql | Transaction, slices: ReturnType<Sql>) {
  return sql`
    arrived AS (
      INSERT INTO fifo_groups (queue_id, group_id, account, available_at, head_sequence)
      SELECT k.queue_id, k.group_id, k.account, k.available_at, k.head_sequence
      FROM (SELECT queue_id, group_id, account, min(visible_at) AS available_at, min(sequence) AS head_sequence
            FROM ${slices} GROUP BY queue_id, group_id, account ORDER BY queue_id, group_id) k
      -- As groupRow does, which NOT EXISTS would not: it takes no notice of an order.
      WHERE (SELECT g.account FROM fifo_groups g WHERE g.queue_id = k.queue_id AND g.group_id = k.group_id
             ORDER BY g.head_sequence DESC LIMIT 1) IS NULL
    )`;
}

import type { Sql, Transaction } from "@sluice/database";

/**
 * SQL: the row `g` of each group `k(queue_id, group_id)` that has one, with its place as `g.row`.
 *
 * Each receive and each acknowledgement leaves a dead row of its group behind. The head of a group only ever moves on,
 * so by the index over (queue, group, head), read backwards, the living one comes first, however many dead ones a held
 * xmin horizon keeps.
 *
 * @param lock - `FOR UPDATE`, where it is to be locked.
 */
export function groupRow(sql: Sql | Transaction, lock = sql``) {
  return sql`
    CROSS JOIN LATERAL (
      SELECT g.*, g.ctid AS row FROM fifo_groups g
      WHERE g.queue_id = k.queue_id AND g.group_id = k.group_id
      ORDER BY g.head_sequence DESC LIMIT 1 ${lock}
    ) g`;
}

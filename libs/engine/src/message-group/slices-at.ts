import type { Sql, Transaction } from "@sluice/database";

/**
 * SQL: the slices `s` at the places `m(queue_id, sequence)`, looked up one place after the other.
 *
 * Joined, they would be read first, all of them, by a plan from a moment at which ANALYZE saw the table empty: one that
 * is drained as fast as it fills looks like that, and a held xmin horizon leaves every dead slice in it.
 */
export function slicesAt(sql: Sql | Transaction) {
  return sql`
    CROSS JOIN LATERAL (
      SELECT s.ctid AS row, s.* FROM fifo_slices s WHERE s.queue_id = m.queue_id AND s.sequence = m.sequence OFFSET 0
    ) s`;
}

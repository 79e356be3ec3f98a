import type { Sql, Transaction } from "@sluice/database";

/**
 * SQL: the slices `s` of the group `g`, from its head on; in order of (group_id, sequence, lowest bit) they are in that
 * of the index `fifo_slices_order`.
 *
 * Comparing rows, and not the columns for themselves, is what leaves that index alone to choose from: by its sequences
 * a group could be read through `fifo_slices_sequence` as well, with all other groups of the queue in between.
 */
export function fromHead(sql: Sql | Transaction) {
  return sql`
    s.queue_id = g.queue_id AND (s.group_id, s.sequence) >= (g.group_id, g.head_sequence)
    AND (s.group_id, s.sequence) <= (g.group_id, 9223372036854775807)`;
}

import type { Transaction } from "@sluice/database";

/**
 * Has what comes next in a transaction of the clean-up's connection read in the order of an index, also on a backlog
 * that no ANALYZE has seen: a bitmap scan would read and sort the whole queue for each chunk (a million rows to delete
 * ten thousand).
 */
export async function readInOrder(tx: Transaction): Promise<void> {
  await tx`SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)`;
}

import { constant } from "@sluice/database";

/**
 * SQL: notes in the ledger what came to standard queues by the new slices of a part `sliced` (account, queue_id,
 * pending, visible_at, moved), and of the delayed ones in which minute their delays end. The part `delivered` (account,
 * queue_id, messages) says how many messages came to which queue.
 */
export const delivered = constant(
  (sql) => sql`delivered AS (
      SELECT account, queue_id, sum(bit_count(pending::bit(64)))::int AS messages FROM sliced GROUP BY account, queue_id
    ), ledger AS (
      INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
      SELECT account, queue_id, 'sent', messages, NULL FROM delivered
      UNION ALL
      SELECT account, queue_id, 'delayed', sum(bit_count(pending::bit(64))), date_trunc('minute', visible_at)
      FROM sliced WHERE moved GROUP BY account, queue_id, date_trunc('minute', visible_at)
    )`,
);

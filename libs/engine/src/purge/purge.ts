import type { Sql } from "@sluice/database";

/**
 * Deletes every message of a queue that was sent up to this moment, in flight or not; what is answered later survives.
 *
 * One plain DELETE: it waits for a row that a claim is writing and then deletes it all the same, which a chunk of
 * locked-and-skipped rows would not.
 *
 * @returns How many messages are gone.
 */
export async function purge(sql: Sql, queue: { id: string; account: string }): Promise<number> {
  const [row] = await sql<{ messages: number }[]>`
    WITH purged AS (
      DELETE FROM slices
      WHERE queue_id = ${queue.id}::bigint AND account = ${queue.account}::bigint
        AND sent_at <= (SELECT clock_timestamp())
      RETURNING pending
    )
    SELECT coalesce(sum(bit_count(pending::bit(64))), 0)::float8 AS messages FROM purged`;
  return row?.messages ?? 0;
}

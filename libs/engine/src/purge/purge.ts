import type { Sql } from "@sluice/database";

/**
 * Deletes every message of a queue that was sent up to this moment, in flight or not; what is answered later survives.
 *
 * A plain DELETE waits for a row that a claim is writing and then deletes it all the same, which a chunk of
 * locked-and-skipped rows would not. It cannot see the part that such a claim splits off, so it looks again, with the
 * same moment in mind, until nothing of before is left to be seen.
 *
 * @returns How many messages are gone.
 */
export async function purge(sql: Sql, queue: { id: string; account: string }): Promise<number> {
  const [clock] = await sql<{ now: string }[]>`SELECT clock_timestamp()::text AS now`;
  let purged = 0;
  for (;;) {
    const pass = await purgeOnce(sql, queue, clock?.now ?? "-infinity");
    purged += pass.messages;
    if (!pass.found) return purged;
  }
}

async function purgeOnce(
  sql: Sql,
  { id, account }: { id: string; account: string },
  sentUntil: string,
): Promise<{ messages: number; found: boolean }> {
  const [row] = await sql<{ messages: number; found: boolean }[]>`
    WITH purged AS (
      DELETE FROM slices
      WHERE queue_id = ${id}::bigint AND account = ${account}::bigint AND sent_at <= ${sentUntil}::text::timestamptz
      RETURNING pending
    )
    SELECT coalesce(sum(bit_count(pending::bit(64))), 0)::float8 AS messages,
           EXISTS (SELECT FROM slices WHERE queue_id = ${id}::bigint AND account = ${account}::bigint
                   AND sent_at <= ${sentUntil}::text::timestamptz) AS found
    FROM purged`;
  return row ?? { messages: 0, found: false };
}

import type { Sql } from "@sluice/database";

import type { ChunkSize } from "./chunks.ts";

/**
 * A batch younger than this may belong to a statement that has not committed its slices, or to a receive that reads it.
 */
const PAYLOAD_GRACE = 60;
/** It reads all that is archived, too: 0.8 s for a million batches. */
const TIMEOUT = "10min";

/**
 * Removes payloads that no slice, no waiting fan-out and no archive refers to, in the order of their ids. One anti-join
 * over what is stored now, instead of a counter on each batch that ten queues would update at once, or an index that
 * each delivery would pay for. It reads all slices, so it is for now and then, and takes much at once.
 */
export async function deletePayloads(
  sql: Sql,
  chunks: ChunkSize,
  signal?: AbortSignal,
): Promise<number> {
  let after = "0";
  return await chunks.removeAll(async (size) => {
    const chunk = await deleteChunk(sql, after, size);
    after = chunk.last ?? after;
    return chunk.count;
  }, signal);
}

async function deleteChunk(
  sql: Sql,
  after: string,
  limit: number,
): Promise<{ count: number; last: string | null }> {
  return await sql.begin(async (tx) => {
    // Without statistics a nested loop would look like nothing and take for ever.
    await tx`SELECT set_config('enable_nestloop', 'off', true), set_config('statement_timeout', ${TIMEOUT}, true)`;
    const [row] = await tx<{ count: number; last: string | null }[]>`
      WITH unused AS MATERIALIZED (
        SELECT b.id FROM batches b
        WHERE b.id > ${after}::bigint
          AND b.sent_at < (SELECT clock_timestamp() - make_interval(secs => ${PAYLOAD_GRACE}::int))
          AND NOT EXISTS (SELECT FROM slices s WHERE s.batch_id = b.id)
          AND NOT EXISTS (SELECT FROM fifo_slices f WHERE f.batch_id = b.id)
          AND NOT EXISTS (SELECT FROM outbox o WHERE o.batch_id = b.id)
          AND NOT EXISTS (SELECT FROM archived_batches a WHERE a.batch_id = b.id)
        ORDER BY b.id LIMIT ${limit}::int
      ), deleted AS (
        DELETE FROM batches WHERE id = ANY(ARRAY(SELECT id FROM unused)) RETURNING id
      )
      SELECT count(*)::int AS count, max(id)::text AS last FROM deleted`;
    return row ?? { count: 0, last: null };
  });
}

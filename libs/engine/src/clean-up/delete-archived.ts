import type { Sql } from "@sluice/database";

/**
 * Removes from the archives what is past its days, and what is of topics that are archived no more, or are gone. Its payloads
 * then go as all do that nothing refers to.
 *
 * What a replay has in hand is skipped: it is locked until the slices are there that refer to the same payload.
 * The topics that have an archive are found one by one along the index, however many batches each has.
 */
export async function deleteArchived(sql: Sql, limit: number): Promise<number> {
  const result = await sql`
    WITH RECURSIVE archived AS (
      (SELECT topic_id FROM archived_batches ORDER BY topic_id LIMIT 1)
      UNION ALL
      SELECT (SELECT a.topic_id FROM archived_batches a WHERE a.topic_id > archived.topic_id ORDER BY a.topic_id LIMIT 1)
      FROM archived WHERE archived.topic_id IS NOT NULL
    )
    DELETE FROM archived_batches WHERE ctid = ANY(ARRAY(
      SELECT old.row FROM archived
      LEFT JOIN topics t ON t.id = archived.topic_id
      CROSS JOIN LATERAL (
        SELECT a.ctid AS row FROM archived_batches a
        WHERE a.topic_id = archived.topic_id
          AND a.published_at < coalesce(greatest(t.archived_since, (SELECT clock_timestamp()) - make_interval(days => t.archive_days)), 'infinity')
        ORDER BY a.published_at, a.batch_id LIMIT ${limit}::int FOR UPDATE SKIP LOCKED
      ) old
      WHERE archived.topic_id IS NOT NULL LIMIT ${limit}::int))`;
  return result.count;
}

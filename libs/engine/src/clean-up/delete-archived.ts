import type { Sql } from "@sluice/database";

/** How long a replay may keep what is past the days of its archive while it does not go on, in days. */
const KEPT_FOR_REPLAY = 30;

/**
 * Removes from the archives what is past its days, and what is of topics that are archived no more, or are gone. Its
 * payloads then go as all do that nothing refers to.
 *
 * What a running replay has still to read stays: all from its place on, since a replay bound by its rate may take days.
 * What it has in hand is skipped, too: it is locked until the slices are there that refer to the same payload. The
 * topics that have an archive are found one by one along the index, however many batches each has.
 */
export async function deleteArchived(sql: Sql, limit: number): Promise<number> {
  const result = await sql`
    WITH RECURSIVE archived AS (
      (SELECT topic_id FROM archived_batches ORDER BY topic_id LIMIT 1)
      UNION ALL
      SELECT (SELECT a.topic_id FROM archived_batches a WHERE a.topic_id > archived.topic_id ORDER BY a.topic_id LIMIT 1)
      FROM archived WHERE archived.topic_id IS NOT NULL
    ), running AS MATERIALIZED (
      SELECT topic_id, min(coalesce(done_at, start_at)) AS place FROM replays WHERE status = 'running' GROUP BY topic_id
    )
    DELETE FROM archived_batches WHERE ctid = ANY(ARRAY(
      SELECT old.row FROM archived
      LEFT JOIN topics t ON t.id = archived.topic_id
      LEFT JOIN running ON running.topic_id = archived.topic_id
      CROSS JOIN LATERAL (
        SELECT a.ctid AS row FROM archived_batches a
        WHERE a.topic_id = archived.topic_id
          AND a.published_at < coalesce(greatest(t.archived_since, least(${pastDays(sql)}, running.place)), 'infinity')
        ORDER BY a.published_at, a.batch_id LIMIT ${limit}::int FOR UPDATE SKIP LOCKED
      ) old
      WHERE archived.topic_id IS NOT NULL LIMIT ${limit}::int))`;
  return result.count;
}

/**
 * Ends the replays that have not gone on for so long that the archive keeps nothing more for them, if there is
 * something past its days that they have not read: one that nobody carries on does not keep an archive for ever, and
 * none is completed that left something out.
 *
 * One that is bound by its rate has gone on no earlier than the rate made room for what it has delivered. One without a
 * rate goes as fast as it can, and what keeps it from its end for so long keeps it from going on.
 */
export async function endOverlongReplays(sql: Sql): Promise<number> {
  const result = await sql`
    UPDATE replays r SET status = 'cancelled', finished_at = clock_timestamp()
    FROM topics t
    WHERE r.status = 'running' AND t.id = r.topic_id
      AND greatest(r.created_at, r.started_at + make_interval(secs => r.replayed::float8 / r.rate))
          < clock_timestamp() - make_interval(days => ${KEPT_FOR_REPLAY}::int)
      AND EXISTS (SELECT FROM archived_batches a
                  WHERE a.topic_id = r.topic_id AND a.published_at < ${pastDays(sql)}
                    -- Not the last one that is done, which stays as well.
                    AND (a.published_at, a.place) >= (coalesce(r.done_at, r.start_at), coalesce(r.done_place + 1, r.start_place)))`;
  return result.count;
}

/** SQL: before it, what the archive of topic `t` has is past its days. */
function pastDays(sql: Sql) {
  return sql`(SELECT clock_timestamp()) - make_interval(days => t.archive_days)`;
}

import { texts, type Sql } from "@sluice/database";

import type { ClaimRequest, QuietRequest } from "./claim.ts";

/** Groups that one claim looks at; the next one goes on where it ended. */
const MAX_TENANTS = 64;
/**
 * Slices at the front of the queue that are looked at for messages without a group from before the queue had tenants.
 */
const MAX_FRONT = 500;

/**
 * SQL: visible slices of tenants that are not noisy, and of messages without one, the oldest first among those it looks
 * at.
 *
 * A noisy tenant may have a million messages before the first one of another, so nothing here walks the queue in its
 * order:
 *
 * - From group to group it jumps by the index over (queue, group, time), one probe for each group, however many
 *   messages it has. At most so many groups a claim, in rotation, so that ten thousand quiet tenants cost no more than
 *   sixty-four.
 * - Messages without a group are in no such index, which each delivery of each queue would pay for, as long as the
 *   queue has no tenants. Since it has, they are of the group "", which is always looked at. Those from before are
 *   found when they are near the front: among its first slices, whoever these belong to.
 *
 * The candidates are locked after they were chosen: locking each group's first slices to use a few would write to all
 * of them. The row is compared again where it is locked; a claim that came in between has moved it.
 */
export function quietSlices(sql: Sql, request: ClaimRequest, quiet: QuietRequest) {
  const { queueId, account } = request;
  return sql`${quietCandidates(sql, request, quiet)}, visible AS (
      SELECT s.ctid AS row, s.queue_id, s.pending, s.visible_at, s.batch_id,
             s.receive_count >= (SELECT max_receive_count FROM queue) AS exhausted
      FROM candidates c JOIN slices s ON s.ctid = c.row AND s.visible_at = c.visible_at AND s.batch_id = c.batch_id
      WHERE s.queue_id = ${queueId}::bigint AND s.account = ${account}::bigint AND NOT (SELECT paused FROM queue)
      FOR UPDATE OF s SKIP LOCKED
    )`;
}

/** SQL: the exhausted ones of them, locked; see exhaustedSlices. */
export function exhaustedQuietSlices(sql: Sql, request: ClaimRequest, quiet: QuietRequest) {
  const { queueId, account } = request;
  return sql`${quietCandidates(sql, request, quiet)}, letters AS (
      SELECT s.ctid AS row, s.queue_id
      FROM candidates c JOIN slices s ON s.ctid = c.row AND s.visible_at = c.visible_at AND s.batch_id = c.batch_id
      WHERE s.queue_id = ${queueId}::bigint AND s.account = ${account}::bigint AND NOT (SELECT paused FROM queue)
        AND s.receive_count >= (SELECT max_receive_count FROM queue)
      FOR UPDATE OF s SKIP LOCKED
    )`;
}

/** SQL: the slices that both choose from. */
function quietCandidates(
  sql: Sql,
  { queueId, account, slices }: ClaimRequest,
  { noisy, after }: QuietRequest,
) {
  return sql`tenants(group_id, place) AS (
      (SELECT s.group_id, 1 FROM slices s
       WHERE s.queue_id = ${queueId}::bigint AND s.account = ${account}::bigint AND s.group_id > ${after}::text
       ORDER BY s.group_id, s.visible_at LIMIT 1)
      UNION ALL
      SELECT (SELECT s.group_id FROM slices s
              WHERE s.queue_id = ${queueId}::bigint AND s.account = ${account}::bigint AND s.group_id > t.group_id
              ORDER BY s.group_id, s.visible_at LIMIT 1), t.place + 1
      FROM tenants t WHERE t.group_id IS NOT NULL AND t.place < ${MAX_TENANTS}::int
    ), last_tenant AS (
      SELECT group_id FROM tenants WHERE place = ${MAX_TENANTS}::int
    ), candidates AS MATERIALIZED (
      SELECT * FROM (
        SELECT s.* FROM (SELECT group_id FROM tenants UNION ALL SELECT '') t CROSS JOIN LATERAL (
          SELECT s.ctid AS row, s.visible_at, s.batch_id FROM slices s
          WHERE s.queue_id = ${queueId}::bigint AND s.account = ${account}::bigint
            -- Not \`=\`: then the group would need no place in the order, and the planner could as well walk the queue in its
            -- order and leave out everybody else.
            AND s.group_id >= t.group_id AND s.group_id <= t.group_id
            AND s.visible_at <= (SELECT now FROM queue)
            AND s.sent_at > (SELECT now - make_interval(secs => retention) FROM queue)
          ORDER BY s.group_id, s.visible_at LIMIT ${slices}::int
        ) s
        WHERE t.group_id <> ALL(${texts(noisy)}::text[])
        UNION ALL
        SELECT row, visible_at, batch_id FROM (
          SELECT s.ctid AS row, s.visible_at, s.batch_id, s.group_id, s.sent_at FROM slices s
          WHERE s.queue_id = ${queueId}::bigint AND s.account = ${account}::bigint
            AND s.visible_at >= (SELECT floor FROM queue) AND s.visible_at <= (SELECT now FROM queue)
          ORDER BY s.visible_at, s.batch_id LIMIT ${MAX_FRONT}::int
        ) front
        WHERE group_id IS NULL AND sent_at > (SELECT now - make_interval(secs => retention) FROM queue)
      ) quiet
      ORDER BY visible_at, batch_id LIMIT ${slices}::int
    )`;
}

import { constant, numbers, type Fragment, type Sql } from "@sluice/database";

import type { ClaimRequest } from "./claim.ts";
import { millisecond } from "./find-visible.ts";

/**
 * SQL: the queues that are asked for, `queue`. The clock is Postgres' own, read as the statement comes to each.
 *
 * @param requests - Each of another queue.
 */
export function askedQueues(sql: Sql, requests: readonly ClaimRequest[]): Fragment {
  const timeouts = requests.map(({ visibilityTimeout }) => visibilityTimeout ?? "NULL");
  return sql`queue AS MATERIALIZED (
      SELECT q.id, q.account, r.max, r.slices, q.paused, q.retention, q.dead_letter_queue_id, clock_timestamp() AS now,
             clock_timestamp() - make_interval(secs => q.retention) AS expired, nextval('lease_ids') AS lease,
             CASE WHEN EXISTS (SELECT FROM queues d WHERE d.id = q.dead_letter_queue_id)
               THEN q.max_receive_count ELSE 2147483647 END AS max_receive_count,
             date_trunc('milliseconds', clock_timestamp()) + interval '1 millisecond'
               + make_interval(secs => coalesce(r.visibility_timeout, q.visibility_timeout)) AS deadline,
             timestamptz 'epoch' + r.since * interval '1 millisecond' AS floor
      FROM unnest(
        ${numbers(requests.map(({ queueId }) => queueId))}::bigint[],
        ${numbers(requests.map(({ account }) => account))}::bigint[],
        ${numbers(requests.map(({ max }) => max))}::int[],
        ${numbers(requests.map(({ slices }) => slices))}::int[],
        ${numbers(timeouts)}::int[],
        ${numbers(requests.map(({ from = -Infinity }) => millisecond(from)))}::bigint[]
      ) AS r(queue_id, account, max, slices, visibility_timeout, since)
      JOIN queues q ON q.id = r.queue_id AND q.account = r.account
    )`;
}

/** SQL: the visible slices of each queue from its floor on, in order, locked. */
export const oldestSlices = constant(
  (sql) => sql`visible AS (
      SELECT s.* FROM queue q CROSS JOIN LATERAL (
        SELECT s.ctid AS row, s.queue_id, s.pending, s.visible_at, s.batch_id, s.receive_count >= q.max_receive_count AS exhausted
        FROM slices s
        WHERE s.queue_id = q.id AND s.account = q.account AND s.visible_at >= q.floor AND s.visible_at <= q.now
          AND s.sent_at > q.expired
        ORDER BY s.visible_at, s.batch_id
        LIMIT q.slices
        FOR UPDATE SKIP LOCKED
      ) s
      WHERE NOT q.paused
    )`,
);

/**
 * SQL: the exhausted ones of these slices, locked, and of more behind them: others may have locked some, which the
 * claim has looked past. Chosen before they are locked, as in quietSlices: nobody else is to skip the live ones
 * meanwhile, nor are they written to (a receive of 1,000 messages that met one dead letter wrote a sixth more).
 */
export const exhaustedSlices = constant(
  (sql) => sql`candidates AS MATERIALIZED (
      SELECT s.* FROM queue q CROSS JOIN LATERAL (
        SELECT s.ctid AS row, s.visible_at, s.batch_id, s.receive_count >= q.max_receive_count AS exhausted
        FROM slices s
        WHERE s.queue_id = q.id AND s.account = q.account AND s.visible_at >= q.floor AND s.visible_at <= q.now
          AND s.sent_at > q.expired
        ORDER BY s.visible_at, s.batch_id
        LIMIT 2 * q.slices + 100
      ) s
      WHERE s.exhausted AND NOT q.paused
    ), letters AS (
      SELECT s.ctid AS row, s.queue_id
      FROM candidates c JOIN slices s ON s.ctid = c.row AND s.visible_at = c.visible_at AND s.batch_id = c.batch_id
      ORDER BY c.visible_at, c.batch_id
      LIMIT (SELECT slices FROM queue)
      FOR UPDATE OF s SKIP LOCKED
    )`,
);

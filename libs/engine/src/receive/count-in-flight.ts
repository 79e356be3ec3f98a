import type { Sql } from "@sluice/database";

export interface InFlightCount {
  messages: number;
  /** Tenants with more than a tenth of them, and at least thirty (LIMITS: fair queues). */
  noisy: string[];
}

/**
 * How many messages of a queue are received and not yet acknowledged. Reads its slices that become visible within the
 * twelve hours that a receive can hold something: what is in flight, which is bounded, and what is delayed till then.
 *
 * Where messages of tenants are among them, it is noted for good: what comes without a tenant from then on is in the
 * index by groups as well.
 */
export async function countInFlight(
  sql: Sql,
  queue: { queueId: string; account: string },
): Promise<InFlightCount> {
  const held = sql`
    FROM slices
    WHERE queue_id = ${queue.queueId}::bigint AND account = ${queue.account}::bigint AND receive_count > 0
      AND visible_at > (SELECT now FROM clock) AND visible_at <= (SELECT now FROM clock) + interval '43201 seconds'`;
  const rows = await sql<{ group_id: string | null; messages: number }[]>`
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    total AS MATERIALIZED (
      SELECT coalesce(sum(bit_count(pending::bit(64))), 0)::float8 AS messages, coalesce(bool_or(group_id <> ''), false) AS has_tenants
      ${held}
    ), tenants AS (
      -- Read again, and sorted, only where there are any: of 120,000 slices that takes longer than the sum above (55 ms, and not 20).
      -- Not by the name of the column: its index has all that waits as well.
      SELECT coalesce(group_id, '') AS group_id, sum(bit_count(pending::bit(64)))::float8 AS messages
      ${held} AND (SELECT has_tenants FROM total)
      GROUP BY coalesce(group_id, '')
    ), noted AS (
      UPDATE queues SET has_tenants = true
      WHERE id = ${queue.queueId}::bigint AND account = ${queue.account}::bigint AND NOT has_tenants
        AND (SELECT has_tenants FROM total)
    )
    SELECT NULL AS group_id, messages FROM total
    UNION ALL
    SELECT tenants.group_id, tenants.messages FROM tenants, total
    WHERE tenants.group_id <> '' AND tenants.messages >= 30 AND tenants.messages > total.messages * 0.1`;
  const total = rows.find((row) => row.group_id === null);
  return {
    messages: total?.messages ?? 0,
    noisy: rows.flatMap((row) => row.group_id ?? []),
  };
}

/** The same for a FIFO queue: of the groups that are held, those messages that their receives hold. */
export async function countInFlightFifo(
  sql: Sql,
  queue: { queueId: string; account: string },
): Promise<InFlightCount> {
  const [row] = await sql<{ messages: number }[]>`
    SELECT coalesce(sum(bit_count(s.pending::bit(64))), 0)::float8 AS messages
    FROM (SELECT clock_timestamp() AS now) clock
    JOIN fifo_groups g ON g.queue_id = ${queue.queueId}::bigint AND g.account = ${queue.account}::bigint
      AND g.available_at > clock.now AND g.available_at <= clock.now + interval '43201 seconds'
    JOIN fifo_slices s ON s.queue_id = g.queue_id AND s.group_id = g.group_id AND s.account = g.account
      AND s.sequence BETWEEN g.head_sequence AND g.received_upto
    WHERE s.visible_at > clock.now AND s.receive_count > 0`;
  return { messages: row?.messages ?? 0, noisy: [] };
}

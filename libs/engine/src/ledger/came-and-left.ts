import type { Sql } from "@sluice/database";

import type { CountedQueue } from "./count-messages.ts";

/**
 * SQL: what is known of a queue without a look at its messages, as the first parts of a WITH: `clock`, the sums of the
 * `ledger` by kind, how many messages are `resting` by it, and what of the `delays` ends in this minute and later.
 */
export function cameAndLeft(sql: Sql, { id, account, retention }: CountedQueue) {
  return sql`
    clock AS MATERIALIZED (
      SELECT now, now - make_interval(secs => ${retention}::int) AS expired, date_trunc('minute', now) + interval '1 minute' AS next_minute
      FROM (SELECT clock_timestamp() AS now) t
    ), ledger AS MATERIALIZED (
      SELECT kind, sum(messages) AS messages FROM (
        SELECT kind, messages::float8 FROM queue_totals WHERE queue_id = ${id}::bigint AND account = ${account}::bigint
        UNION ALL
        SELECT kind, messages::float8 FROM queue_ledger
        WHERE queue_id = ${id}::bigint AND account = ${account}::bigint AND due_at IS NULL
      ) l GROUP BY kind
    ), resting AS (
      SELECT coalesce(sum(CASE WHEN kind IN ('sent', 'deadLettersIn', 'redrivenIn') THEN messages ELSE -messages END), 0)::float8 AS messages
      FROM ledger
    ), delays AS MATERIALIZED (
      SELECT coalesce(sum(messages) FILTER (WHERE due_at < next_minute), 0)::float8 AS this_minute,
             coalesce(sum(messages) FILTER (WHERE due_at >= next_minute), 0)::float8 AS later
      FROM clock, (
        SELECT messages, due_at FROM queue_delays
        WHERE queue_id = ${id}::bigint AND account = ${account}::bigint AND due_at >= (SELECT next_minute - interval '1 minute' FROM clock)
        UNION ALL
        SELECT messages, due_at FROM queue_ledger
        WHERE queue_id = ${id}::bigint AND account = ${account}::bigint AND due_at >= (SELECT next_minute - interval '1 minute' FROM clock)
      ) d
    )`;
}

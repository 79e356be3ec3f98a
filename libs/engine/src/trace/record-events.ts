import type { Fragment, Sql, Transaction } from "@sluice/database";

/** What can become of messages: how they come to a queue, why they do not, and how they leave it. */
export type EventKind =
  | "sent"
  | "fannedOut"
  | "replayed"
  | "refused"
  | "acknowledged"
  | "deadLettered"
  | "redriven"
  | "expired"
  | "purged"
  | "cancelled";

/** Where the source says of each event what kind it is of, in a column `kind`. */
type Kind = EventKind | "each its own";

/** What else an event tells, by the column of its source. */
type Detail = "topic" | "subscription" | "destination" | "sequence" | "reason" | "visibleAt";

/**
 * A row is about so many neighbouring batches, as a power of two: the ids that a process takes at once (BatchIds). With
 * fewer, messages that were sent to many queues by turns would have a row each for their acknowledgements; with more, a
 * trace would read more rows.
 */
export const BLOCK_BITS = 10;
/** Of a batch id, its place in its block. */
export const OFFSET_MASK = 2 ** BLOCK_BITS - 1;

/**
 * SQL: an INSERT that records what the statement around it does to messages; nothing on connections that do not record.
 *
 * It costs by the row, and a row holds what happened to neighbouring batches at once: under load the acknowledgements
 * of ten queues, which share a statement, are a row or two for it. No row has more than 32 events: so it is under 2
 * KB, and stays in one piece, unless dead letters have long reasons. A batch is told by its place in its block, and no
 * masks are told where all are 1: of each batch its first message, as where messages come one a call. (To tell a queue
 * or a mask that all have only once would cost the statement 1.5 µs each.)
 *
 * @param source - What follows FROM, with `account`, `batch_id`, `queue_id` and `mask` (the messages, a bit each), and
 * for the details `topic_id`, `subscription_id`, `to_queue_id`, `sequence`, `reason`, `visible_at`.
 */
export function recordEvents(
  sql: Sql | Transaction,
  kind: Kind,
  source: Fragment,
  details: readonly Detail[] = [],
): Fragment {
  const kindOf = kind === "each its own" ? sql`kind` : sql.unsafe(`'${kind}'`);
  const has = (detail: Detail, columns: Fragment) => (details.includes(detail) ? columns : sql``);
  const block = blockOf(sql);
  return sql`
      INSERT INTO message_events (
        account, block, kind, batch_offsets, queue_ids, masks
        ${has("topic", sql`, topic_id`)} ${has("subscription", sql`, subscription_ids`)}
        ${has("destination", sql`, to_queue_ids`)} ${has("sequence", sql`, sequences`)}
        ${has("reason", sql`, reasons`)} ${has("visibleAt", sql`, visible_from`)})
      SELECT account, ${block}, ${kindOf}, array_agg(${offsetOf(sql)}), array_agg(queue_id),
             CASE WHEN 1 = ALL(array_agg(mask)) THEN NULL ELSE array_agg(mask) END
        ${has("topic", sql`, topic_id`)} ${has("subscription", sql`, array_agg(subscription_id)`)}
        ${has("destination", sql`, array_agg(to_queue_id)`)} ${has("sequence", sql`, array_agg(sequence)`)}
        ${has("reason", sql`, array_agg(reason)`)} ${has("visibleAt", sql`, min(visible_at)`)}
      FROM (
        SELECT source.*, (row_number() OVER (PARTITION BY account, ${block}) - 1) >> 5 AS chunk
        FROM ${source} AS source WHERE current_setting('sluice.recording', true) = 'on'
      ) events
      GROUP BY account, ${block}, chunk ${kind === "each its own" ? sql`, kind` : sql``} ${has("topic", sql`, topic_id`)}`;
}

function blockOf(sql: Sql | Transaction): Fragment {
  return sql.unsafe(`batch_id >> ${BLOCK_BITS}`);
}

function offsetOf(sql: Sql | Transaction): Fragment {
  return sql.unsafe(`(batch_id & ${OFFSET_MASK})::smallint`);
}

import type { Sql, Transaction } from "@sluice/database";

import type { MessagePlace } from "../message/message-ids.ts";
import { BLOCK_BITS, OFFSET_MASK, type EventKind } from "./record-events.ts";

/** What became of one message at one time. */
export interface MessageEvent {
  kind: EventKind;
  /** In ms since the epoch, by the database clock. */
  at: number;
  topicId: string | undefined;
  /** Null where nobody was subscribed. */
  queueId: string | null;
  /** Where it went, as a dead letter or by a redrive. */
  toQueueId: string | undefined;
  subscriptionId: string | undefined;
  /** Of a FIFO queue: its place there; of a move: where it went. */
  sequence: string | undefined;
  reason: string | undefined;
  /**
   * Between which times it became visible where it came to, as Postgres writes them: at the latest when this was
   * written down, unless it was delayed. Undefined `from`: when it was sent, at the earliest.
   */
  visible: { from: string | undefined; until: string };
}

/** Where to look in the record, and how far it goes. */
export interface RecordLook {
  account: string;
  place: MessagePlace;
  hours: number;
}

/**
 * What is on record of the message at a place, in the order in which it happened. Reads the rows of a block of batches.
 *
 * Rows from before 0004_smaller_trace.sql are about blocks of 64 batches, and name each one in `batch_ids`.
 */
export async function readEvents(
  sql: Sql | Transaction,
  { account, place: { batchId, bit }, hours }: RecordLook,
): Promise<MessageEvent[]> {
  const offset = BigInt(batchId) & BigInt(OFFSET_MASK);
  const rows = await sql<EventRow[]>`
    SELECT e.kind, extract(epoch FROM e.at)::float8 * 1000 AS at, e.topic_id, e.visible_from::text,
           coalesce(e.visible_until, e.at)::text AS visible_until,
           x.queue_id, x.to_queue_id, x.subscription_id, x.sequence, x.reason
    FROM message_events e
    CROSS JOIN LATERAL unnest(e.batch_offsets, e.batch_ids, e.queue_ids, e.masks, e.to_queue_ids, e.subscription_ids, e.sequences, e.reasons)
      AS x(batch_offset, batch_id, queue_id, mask, to_queue_id, subscription_id, sequence, reason)
    WHERE e.block IN (${batchId}::bigint >> ${BLOCK_BITS}::int, ${batchId}::bigint >> 6) AND e.account = ${account}::bigint
      AND e.at > (SELECT clock_timestamp() - make_interval(hours => ${hours}::int))
      -- Before its events are taken apart.
      AND (e.batch_offsets IS NULL OR ${String(offset)}::smallint = ANY(e.batch_offsets))
      AND CASE WHEN e.batch_offsets IS NULL THEN x.batch_id = ${batchId}::bigint
          ELSE e.block = ${batchId}::bigint >> ${BLOCK_BITS}::int AND x.batch_offset = ${String(offset)}::smallint END
      AND coalesce(x.mask, 1) >> ${bit}::int & 1 = 1
    ORDER BY e.at`;
  return rows.map((row) => ({
    kind: row.kind,
    at: row.at,
    topicId: row.topic_id ?? undefined,
    queueId: row.queue_id,
    toQueueId: row.to_queue_id ?? undefined,
    subscriptionId: row.subscription_id ?? undefined,
    sequence: row.sequence ?? undefined,
    reason: row.reason ?? undefined,
    visible: { from: row.visible_from ?? undefined, until: row.visible_until },
  }));
}

/**
 * Since when everything is on record, in ms since the epoch; undefined when nothing is. A slot is filled from its start
 * and emptied as a whole, so its first row is its oldest one.
 */
export async function recordedSince(
  sql: Sql | Transaction,
  hours: number,
): Promise<number | undefined> {
  const [row] = await sql<{ since: number | null }[]>`
    SELECT extract(epoch FROM greatest(min(first.at), clock_timestamp() - make_interval(hours => ${hours}::int)))::float8 * 1000 AS since
    FROM generate_series(0, 13) slot
    CROSS JOIN LATERAL (SELECT e.at FROM message_events e WHERE e.slot = slot.slot LIMIT 1) first
    HAVING count(*) > 0`;
  return row?.since ?? undefined;
}

interface EventRow {
  kind: EventKind;
  at: number;
  topic_id: string | null;
  visible_from: string | null;
  visible_until: string;
  queue_id: string | null;
  to_queue_id: string | null;
  subscription_id: string | null;
  sequence: string | null;
  reason: string | null;
}

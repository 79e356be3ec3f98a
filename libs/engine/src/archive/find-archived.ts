import type { Sql, Transaction } from "@sluice/database";

import { placeOf } from "../message/message-ids.ts";
import type { MessageAttribute } from "../message/message.ts";
import { bitsOf } from "../message/bits.ts";

/** Whose archive. */
export interface ArchivedTopic {
  id: string;
  account: string;
}

export interface ArchivedMessage {
  messageId: string;
  body: string;
  attributes: Record<string, MessageAttribute>;
  publishedAt: Date;
}

/** The place of a message in the order of its archive. */
export interface ArchivedPlace {
  /** As Postgres writes it, so that no microsecond is lost. */
  publishedAt: string;
  /** Of its batch among what was published at that time; see archivedBatches. */
  place: string;
  bit: number;
}

/** Batches of a FIFO topic that are looked through for one that a clock which was set back has put behind them. */
const MAX_LOOKED_THROUGH = 100_000;

/** Where a message stands in the archive; undefined when it is not there. */
export async function findArchived(
  sql: Sql,
  topic: ArchivedTopic,
  messageId: string,
): Promise<ArchivedPlace | undefined> {
  const place = placeOf(messageId);
  if (!place) return undefined;
  const { batchId, bit } = place;
  const [row] = await sql<{ published_at: string; place: string; line: string }[]>`
    SELECT a.published_at::text, a.place, split_part(b.payload, E'\n', ${bit + 1}::int) AS line
    FROM batches b
    JOIN topics t ON t.id = ${topic.id}::bigint AND t.account = ${topic.account}::bigint AND t.archived_since IS NOT NULL
    CROSS JOIN LATERAL (
      SELECT a.published_at, a.place, a.batch_id FROM archived_batches a
      WHERE a.topic_id = t.id AND a.account = t.account AND a.published_at >= greatest(b.sent_at, t.archived_since)
        -- In a FIFO topic after a clock was set back: later than it was sent, see takeOrdered. Elsewhere a bound of the
        -- index: what is not there, as a message of another topic, would be looked for in the whole archive.
        AND a.published_at <= CASE WHEN t.fifo THEN 'infinity' ELSE greatest(b.sent_at, t.archived_since) END
      ORDER BY a.topic_id, a.published_at, a.place LIMIT ${MAX_LOOKED_THROUGH}::int
    ) a
    WHERE b.id = ${batchId}::bigint AND a.batch_id = b.id LIMIT 1`;
  if (!row || messageOf(row.line)?.messageId !== messageId) return undefined;
  return { publishedAt: row.published_at, place: row.place, bit };
}

/**
 * How much is read for {@link lastArchived}, in bytes of stored lines, before the rest is left out; a batch more at
 * most.
 */
const MAX_READ = 4 * 1024 * 1024;

/** The newest messages of an archive, newest first: as many as are asked for, or fewer when they are large. */
export async function lastArchived(
  sql: Sql,
  topic: ArchivedTopic,
  count: number,
): Promise<ArchivedMessage[]> {
  const rows = await sql<{ published_at: number; payload: string; bits: string }[]>`
    SELECT extract(epoch FROM sent_at)::float8 * 1000 AS published_at, payload, bits
    FROM (
      -- The length of what is stored beside its row is known without reading it.
      SELECT a.*, b.sent_at, b.payload,
             sum(octet_length(b.payload)) OVER (ORDER BY a.published_at DESC, a.place DESC) - octet_length(b.payload) AS before
    FROM (
      SELECT a.published_at, a.place, a.batch_id, ${archivedBits(sql)} AS bits FROM archived_batches a
      WHERE a.topic_id = ${topic.id}::bigint AND a.account = ${topic.account}::bigint
        AND a.published_at >= (SELECT archived_since FROM topics WHERE id = ${topic.id}::bigint)
      ORDER BY a.published_at DESC, a.place DESC LIMIT ${count}::int
    ) a JOIN batches b ON b.id = a.batch_id
    ) read
    WHERE before < ${MAX_READ}::bigint
    ORDER BY read.published_at DESC, place DESC`;
  const messages = rows.flatMap((row) => {
    const lines = row.payload.split("\n");
    return bitsOf(BigInt(row.bits))
      .toReversed()
      .flatMap((bit) => {
        const message = messageOf(lines[bit] ?? "");
        return message ? [{ ...message, publishedAt: new Date(row.published_at) }] : [];
      });
  });
  return messages.slice(0, count);
}

/** SQL: the messages of the archived batch `a`, without what was a duplicate when it was published. */
export function archivedBits(sql: Sql | Transaction) {
  return sql`coalesce((SELECT bit_or(mask) FROM unnest(a.group_masks) AS mask), 9223372036854775807 >> (63 - a.message_count))`;
}

function messageOf(line: string): Omit<ArchivedMessage, "publishedAt"> | undefined {
  if (line === "") return undefined;
  const { messageId, body, attributes } = JSON.parse(`{${line}}`) as ArchivedMessage;
  return { messageId, body, attributes };
}

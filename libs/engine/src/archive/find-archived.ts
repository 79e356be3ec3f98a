import type { Sql } from "@sluice/database";

import { placeOf } from "../message/message-ids.ts";
import type { MessageAttribute } from "../message/message.ts";

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
  batchId: string;
  bit: number;
}

/** Where a message stands in the archive; undefined when it is not there. */
export async function findArchived(
  sql: Sql,
  topic: ArchivedTopic,
  messageId: string,
): Promise<ArchivedPlace | undefined> {
  const place = placeOf(messageId);
  if (!place) return undefined;
  const { batchId, bit } = place;
  const [row] = await sql<{ published_at: string; line: string }[]>`
    SELECT a.published_at::text, split_part(b.payload, E'\n', ${bit + 1}::int) AS line
    FROM batches b
    JOIN archived_batches a ON a.topic_id = ${topic.id}::bigint AND a.published_at = b.sent_at AND a.batch_id = b.id
    JOIN topics t ON t.id = a.topic_id AND t.account = a.account AND a.published_at >= t.archived_since
    WHERE b.id = ${batchId}::bigint AND a.account = ${topic.account}::bigint`;
  if (!row || messageOf(row.line)?.messageId !== messageId) return undefined;
  return { publishedAt: row.published_at, batchId, bit };
}

/** The newest messages of an archive, newest first. */
export async function lastArchived(
  sql: Sql,
  topic: ArchivedTopic,
  count: number,
): Promise<ArchivedMessage[]> {
  const rows = await sql<{ published_at: number; payload: string }[]>`
    SELECT extract(epoch FROM a.published_at)::float8 * 1000 AS published_at, b.payload
    FROM (
      SELECT a.published_at, a.batch_id FROM archived_batches a
      WHERE a.topic_id = ${topic.id}::bigint AND a.account = ${topic.account}::bigint
        AND a.published_at >= (SELECT archived_since FROM topics WHERE id = ${topic.id}::bigint)
      ORDER BY a.published_at DESC, a.batch_id DESC LIMIT ${count}::int
    ) a JOIN batches b ON b.id = a.batch_id
    ORDER BY a.published_at DESC, a.batch_id DESC`;
  const messages = rows.flatMap((row) =>
    row.payload
      .split("\n")
      .toReversed()
      .flatMap((line) => {
        const message = messageOf(line);
        return message ? [{ ...message, publishedAt: new Date(row.published_at) }] : [];
      }),
  );
  return messages.slice(0, count);
}

function messageOf(line: string): Omit<ArchivedMessage, "publishedAt"> | undefined {
  if (line === "") return undefined;
  const { messageId, body, attributes } = JSON.parse(`{${line}}`) as ArchivedMessage;
  return { messageId, body, attributes };
}

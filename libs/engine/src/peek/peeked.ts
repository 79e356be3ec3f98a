import type { Sql } from "@sluice/database";

import type { Envelopes } from "../envelope/envelopes.ts";
import type { MessageAttribute } from "../message/message.ts";

export type MessageState = "visible" | "inFlight" | "delayed";

export interface PeekRequest {
  /** By the time at which messages become visible. Default "oldest". */
  order?: "oldest" | "newest" | undefined;
  state?: MessageState | undefined;
  /** Text to be found in the body or in an attribute, whatever its case. */
  search?: string | undefined;
  cursor?: string | undefined;
  /** 1-100; default 10. */
  limit?: number | undefined;
}

export interface PeekedMessage {
  messageId: string;
  body: string;
  attributes: Record<string, MessageAttribute>;
  subject?: string;
  groupId?: string;
  deduplicationId?: string;
  /** In FIFO queues. */
  sequenceNumber?: string;
  state: MessageState;
  receiveCount: number;
  /** Of a replayed message: when it was published. */
  sentAt: Date;
  /** Out of the archive of its topic. */
  replayed?: true;
  visibleAt: Date;
  failureReason?: string;
}

export interface Peeked {
  messages: PeekedMessage[];
  /** Absent when the whole queue was looked at. A page may be short, even empty, and yet not be the last. */
  nextCursor?: string;
}

/** What a look at a queue needs. */
export interface PeekContext {
  sql: Sql;
  envelopes: Envelopes;
}

export interface PeekedQueue {
  id: string;
  account: string;
  retention: number;
}

/** SQL: the time of a look, `clock`, as the first part of its WITH. */
export function clockOf(sql: Sql) {
  return sql`clock AS MATERIALIZED (SELECT clock_timestamp() AS now)`;
}

/** SQL: what is shown of a slice, as {@link StoredRow} has it. */
export function storedColumns(sql: Sql) {
  return sql`
    batch_id, pending, receive_count, failure_reason, envelope,
    extract(epoch FROM visible_at)::float8 * 1000 AS visible_at, extract(epoch FROM sent_at)::float8 * 1000 AS sent_at,
    extract(epoch FROM published_at)::float8 * 1000 AS published_at,
    ${stateOf(sql)} AS state`;
}

/** SQL: whether a slice is of this queue, not past its retention, and in the state that was asked for. */
export function isShown(sql: Sql, queue: PeekedQueue, state: MessageState | undefined) {
  return sql`
    queue_id = ${queue.id}::bigint AND account = ${queue.account}::bigint
    AND sent_at > (SELECT now FROM clock) - make_interval(secs => ${queue.retention}::int)
    AND (${state ?? null}::text IS NULL OR ${state ?? null}::text = ${stateOf(sql)})`;
}

function stateOf(sql: Sql) {
  return sql`CASE WHEN visible_at <= (SELECT now FROM clock) THEN 'visible' WHEN receive_count > 0 THEN 'inFlight' ELSE 'delayed' END`;
}

/** What a message's slice says of it. */
export interface StoredRow {
  visible_at: number;
  sent_at: number;
  receive_count: number;
  failure_reason: string | null;
  envelope: string | null;
  /** Of a replayed message: when it was published. */
  published_at: number | null;
  state: MessageState;
}

/** The entry as a receive would hand it out. */
export async function asHandedOut<Stored extends { row: StoredRow; bit: number; line: string }>(
  entry: Stored,
  { account }: { account: string },
  envelopes: Envelopes,
): Promise<Stored> {
  const { envelope } = entry.row;
  if (envelope === null) return entry;
  const slice = { account, envelope, ...sendingOf(entry.row) };
  return { ...entry, line: await envelopes.wrap(entry.line, entry.bit, slice) };
}

function sendingOf({ sent_at, published_at }: StoredRow): { sentAt: number; replayed: boolean } {
  return {
    sentAt: Math.floor(published_at ?? sent_at),
    replayed: published_at !== null,
  };
}

export function messageOf({ row, line }: { row: StoredRow; line: string }): PeekedMessage {
  const stored = JSON.parse(`{${line}}`) as Pick<
    PeekedMessage,
    "messageId" | "body" | "attributes" | "subject" | "groupId" | "deduplicationId"
  >;
  return {
    ...stored,
    state: row.state,
    receiveCount: row.receive_count,
    sentAt: new Date(row.published_at ?? row.sent_at),
    ...(sendingOf(row).replayed && { replayed: true }),
    visibleAt: new Date(row.visible_at),
    ...(row.failure_reason !== null && { failureReason: row.failure_reason }),
  };
}

export function matches(message: PeekedMessage, search: string | undefined): boolean {
  if (search === undefined) return true;
  const wanted = search.toLowerCase();
  return [
    message.body,
    ...Object.entries(message.attributes).flatMap(([name, { value }]) => [name, value]),
  ].some((text) => text.toLowerCase().includes(wanted));
}

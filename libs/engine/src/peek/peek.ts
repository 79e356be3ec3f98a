import type { Sql } from "@sluice/database";

import { SluiceError } from "../errors.ts";
import type { MessageAttribute } from "../message/message.ts";
import { bitsOf } from "../receive/queue-claimer.ts";

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
  state: MessageState;
  receiveCount: number;
  sentAt: Date;
  visibleAt: Date;
  failureReason?: string;
}

export interface Peeked {
  messages: PeekedMessage[];
  /** Absent when the whole queue was looked at. A page may be short, even empty, and yet not be the last. */
  nextCursor?: string;
}

/** Slices one call looks at: a search that finds nothing must end, and goes on with the next page. */
const MAX_SLICES = 200;
const DEFAULT_LIMIT = 10;

/** Looks at messages without receiving them: nothing about them changes. */
export async function peek(
  sql: Sql,
  queue: { id: string; account: string; retention: number },
  request: PeekRequest,
): Promise<Peeked> {
  const { limit = DEFAULT_LIMIT, order = "oldest" } = request;
  const start = readCursor(request.cursor);
  const rows = await selectSlices(sql, queue, { order, state: request.state, start });
  const messages: PeekedMessage[] = [];
  for (const row of rows) {
    const lines = row.payload.split("\n");
    for (const bit of bitsInOrder(row, order)) {
      if (isBefore(row, bit, start, order)) continue;
      if (messages.length === limit) return { messages, nextCursor: writeCursor(row, bit) };
      const message = messageOf(row, lines[bit] ?? "");
      if (matches(message, request.search)) messages.push(message);
    }
  }
  const last = rows.length === MAX_SLICES ? rows.at(-1) : undefined;
  return last ? { messages, nextCursor: writeCursor(last, PAST_END[order]) } : { messages };
}

/** In a cursor instead of a bit: the slice was looked at to its end. */
const PAST_END = { oldest: 63, newest: -1 };

interface SliceRow {
  batch_id: string;
  pending: string;
  visible_us: string;
  visible_at: number;
  sent_at: number;
  receive_count: number;
  failure_reason: string | null;
  state: MessageState;
  payload: string;
}

interface Cursor {
  visibleUs: string;
  batchId: string;
  bit: number;
}

async function selectSlices(
  sql: Sql,
  queue: { id: string; account: string; retention: number },
  {
    order,
    state,
    start,
  }: { order: "oldest" | "newest"; state?: MessageState | undefined; start?: Cursor | undefined },
): Promise<SliceRow[]> {
  const visibleUs = start?.visibleUs ?? null;
  const batchId = start?.batchId ?? null;
  const oldest = order === "oldest";
  return await sql<SliceRow[]>`
    SELECT s.*, b.payload FROM (
      SELECT batch_id, pending, receive_count, failure_reason,
             (extract(epoch FROM visible_at) * 1000000)::bigint AS visible_us,
             extract(epoch FROM visible_at)::float8 * 1000 AS visible_at, extract(epoch FROM sent_at)::float8 * 1000 AS sent_at,
             CASE WHEN visible_at <= now THEN 'visible' WHEN receive_count > 0 THEN 'inFlight' ELSE 'delayed' END AS state
      FROM slices, (SELECT clock_timestamp() AS now) clock
      WHERE queue_id = ${queue.id}::bigint AND account = ${queue.account}::bigint
        AND sent_at > now - make_interval(secs => ${queue.retention}::int)
        AND (${state ?? null}::text IS NULL
             OR ${state ?? null}::text = CASE WHEN visible_at <= now THEN 'visible' WHEN receive_count > 0 THEN 'inFlight' ELSE 'delayed' END)
        ${
          start
            ? sql`AND (visible_at, batch_id) ${oldest ? sql`>=` : sql`<=`}
                (timestamptz 'epoch' + ${visibleUs}::bigint * interval '1 microsecond', ${batchId}::bigint)`
            : sql``
        }
      ORDER BY ${oldest ? sql`slices.visible_at, slices.batch_id` : sql`slices.visible_at DESC, slices.batch_id DESC`}
      LIMIT ${MAX_SLICES}::int
    ) s JOIN batches b ON b.id = s.batch_id
    ORDER BY ${oldest ? sql`s.visible_us, s.batch_id` : sql`s.visible_us DESC, s.batch_id DESC`}`;
}

function bitsInOrder(row: SliceRow, order: "oldest" | "newest"): number[] {
  const bits = bitsOf(BigInt(row.pending));
  return order === "oldest" ? bits : bits.toReversed();
}

function isBefore(
  row: SliceRow,
  bit: number,
  start: Cursor | undefined,
  order: "oldest" | "newest",
): boolean {
  if (start?.visibleUs !== row.visible_us || start.batchId !== row.batch_id) return false;
  return order === "oldest" ? bit < start.bit : bit > start.bit;
}

function messageOf(row: SliceRow, line: string): PeekedMessage {
  const stored = JSON.parse(`{${line}}`) as Pick<
    PeekedMessage,
    "messageId" | "body" | "attributes" | "subject" | "groupId"
  >;
  return {
    ...stored,
    state: row.state,
    receiveCount: row.receive_count,
    sentAt: new Date(row.sent_at),
    visibleAt: new Date(row.visible_at),
    ...(row.failure_reason !== null && { failureReason: row.failure_reason }),
  };
}

function matches(message: PeekedMessage, search: string | undefined): boolean {
  if (search === undefined) return true;
  const wanted = search.toLowerCase();
  return [
    message.body,
    ...Object.entries(message.attributes).flatMap(([name, { value }]) => [name, value]),
  ].some((text) => text.toLowerCase().includes(wanted));
}

function writeCursor(row: SliceRow, bit: number): string {
  return Buffer.from(`${row.visible_us}:${row.batch_id}:${bit}`).toString("base64url");
}

function readCursor(cursor: string | undefined): Cursor | undefined {
  if (cursor === undefined) return undefined;
  const match = /^(\d{1,18}):(\d{1,15}):(-1|\d{1,2})$/.exec(
    Buffer.from(cursor, "base64url").toString(),
  );
  if (!match) {
    throw new SluiceError("invalid_request", "the cursor is not one that a peek returned", {
      details: [{ path: "query.cursor", message: "pass nextCursor of the page before, unchanged" }],
    });
  }
  return { visibleUs: match[1] ?? "", batchId: match[2] ?? "", bit: Number(match[3]) };
}

import type { Sql } from "@sluice/database";

import type { Envelopes } from "../envelope/envelopes.ts";
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

/** Slices one call looks at: a search that finds nothing must end, and goes on with the next page. */
const MAX_SLICES = 200;
/** More parts than a batch falls into, so that a page always gets past the first place that it looks at. */
const MAX_PARTS = 64;
const DEFAULT_LIMIT = 10;

export interface PeekContext {
  sql: Sql;
  envelopes: Envelopes;
}

/** Looks at messages without receiving them: nothing about them changes. A search looks at them as they were published. */
export async function peek(
  { sql, envelopes }: PeekContext,
  queue: { id: string; account: string; retention: number },
  request: PeekRequest,
): Promise<Peeked> {
  const { limit = DEFAULT_LIMIT, order = "oldest" } = request;
  const start = readCursor(request.cursor);
  const slices = request.search === undefined ? limit + MAX_PARTS : MAX_SLICES;
  const rows = await selectSlices(sql, queue, { order, state: request.state, start, slices });
  const groups = groupsOf(rows);
  // The last slices may be cut off from others at the same place: the next page begins with that place.
  const cutOff = rows.length === slices && groups.length > 1 ? groups.pop() : undefined;
  const messages: PeekedMessage[] = [];
  for (const group of groups) {
    for (const entry of inOrder(group, order)) {
      if (isBefore(entry, start, order)) continue;
      if (messages.length === limit) return { messages, nextCursor: writeCursor(entry) };
      const message = messageOf(entry);
      if (!matches(message, request.search)) continue;
      messages.push(messageOf(await asHandedOut(entry, queue, envelopes)));
    }
  }
  const next = cutOff && inOrder(cutOff, order)[0];
  return next
    ? { messages, nextCursor: writeCursor({ ...next, bit: FIRST_BIT[order], copy: 0 }) }
    : { messages };
}

/** In a cursor instead of a bit: everything at that place is still to be looked at. */
const FIRST_BIT = { oldest: 0, newest: 62 };

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

interface SliceRow extends StoredRow {
  batch_id: string;
  pending: string;
  visible_us: string;
  payload: string;
}

interface Cursor {
  visibleUs: string;
  batchId: string;
  bit: number;
  copy: number;
}

interface Look {
  order: "oldest" | "newest";
  state: MessageState | undefined;
  start: Cursor | undefined;
  slices: number;
}

async function selectSlices(
  sql: Sql,
  queue: { id: string; account: string; retention: number },
  { order, state, start, slices }: Look,
): Promise<SliceRow[]> {
  const visibleUs = start?.visibleUs ?? null;
  const batchId = start?.batchId ?? null;
  const oldest = order === "oldest";
  return await sql<SliceRow[]>`
    SELECT s.*, b.payload FROM (
      SELECT batch_id, pending, receive_count, failure_reason, envelope, extract(epoch FROM published_at)::float8 * 1000 AS published_at,
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
      LIMIT ${slices}::int
    ) s JOIN batches b ON b.id = s.batch_id
    ORDER BY ${oldest ? sql`s.visible_us, s.batch_id` : sql`s.visible_us DESC, s.batch_id DESC`}`;
}

/** One message of a slice. */
interface Entry {
  row: SliceRow;
  line: string;
  bit: number;
  /** Counts from 0 what is the same message: two queues of a topic may have sent it to one dead-letter queue. */
  copy: number;
}

/**
 * Slices at the same place: parts of one batch that become visible in the same instant, as dead letters that were moved
 * together do. A cursor names a place and a bit, so their messages are put in order together.
 */
function groupsOf(rows: readonly SliceRow[]): SliceRow[][] {
  const groups: SliceRow[][] = [];
  for (const row of rows) {
    const last = groups.at(-1);
    if (last?.[0]?.visible_us === row.visible_us && last[0].batch_id === row.batch_id)
      last.push(row);
    else groups.push([row]);
  }
  return groups;
}

function inOrder(group: readonly SliceRow[], order: "oldest" | "newest"): Entry[] {
  const copies = new Map<number, number>();
  const entries = group.flatMap((row) => {
    const lines = row.payload.split("\n");
    return bitsOf(BigInt(row.pending)).map((bit): Entry => {
      const copy = copies.get(bit) ?? 0;
      copies.set(bit, copy + 1);
      return { row, line: lines[bit] ?? "", bit, copy };
    });
  });
  const direction = DIRECTION[order];
  return entries.sort((a, b) => direction * (a.bit - b.bit) || a.copy - b.copy);
}

const DIRECTION = { oldest: 1, newest: -1 };

function isBefore(
  { row, bit, copy }: Entry,
  start: Cursor | undefined,
  order: "oldest" | "newest",
): boolean {
  if (start?.visibleUs !== row.visible_us || start.batchId !== row.batch_id) return false;
  return (DIRECTION[order] * (bit - start.bit) || copy - start.copy) < 0;
}

/** The entry as a receive would hand it out. */
export async function asHandedOut<Stored extends { row: StoredRow; line: string }>(
  entry: Stored,
  { account }: { account: string },
  envelopes: Envelopes,
): Promise<Stored> {
  const { envelope } = entry.row;
  if (envelope === null) return entry;
  const slice = { account, envelope, ...sendingOf(entry.row) };
  return { ...entry, line: await envelopes.wrap(entry.line, slice) };
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

function writeCursor({ row, bit, copy }: Omit<Entry, "line">): string {
  return Buffer.from(`${row.visible_us}:${row.batch_id}:${bit}:${copy}`).toString("base64url");
}

function readCursor(cursor: string | undefined): Cursor | undefined {
  if (cursor === undefined) return undefined;
  const match = /^(\d{1,18}):(\d{1,15}):(\d{1,2}):(\d{1,6})$/.exec(
    Buffer.from(cursor, "base64url").toString(),
  );
  if (!match) refuseCursor();
  const [, visibleUs = "", batchId = "", bit, copy] = match;
  return { visibleUs, batchId, bit: Number(bit), copy: Number(copy) };
}

export function refuseCursor(): never {
  throw new SluiceError("invalid_request", "the cursor is not one that a peek returned", {
    details: [{ path: "query.cursor", message: "pass nextCursor of the page before, unchanged" }],
  });
}

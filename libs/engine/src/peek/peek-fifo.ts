import type { Sql } from "@sluice/database";

import { sequenceNumberOf } from "../message-group/sequence-number.ts";
import { bitsOf } from "../receive/queue-claimer.ts";
import {
  asHandedOut,
  matches,
  messageOf,
  refuseCursor,
  type MessageState,
  type PeekContext,
  type Peeked,
  type PeekRequest,
  type StoredRow,
} from "./peek.ts";

/** Slices one call looks at: a search that finds nothing must end, and goes on with the next page. */
const MAX_SLICES = 200;
/** More parts than the messages of one sequence fall into, so that a page always gets past the first one. */
const MAX_PARTS = 64;
const DEFAULT_LIMIT = 10;

interface FifoRow extends StoredRow {
  sequence: string;
  pending: string;
  payload: string;
}

interface Cursor {
  sequence: string;
  bit: number;
}

/** Looks at the messages of a FIFO queue without receiving them, in the order of their commits or against it. */
export async function peekFifo(
  { sql, envelopes }: PeekContext,
  queue: { id: string; account: string; retention: number },
  request: PeekRequest,
): Promise<Peeked> {
  const { limit = DEFAULT_LIMIT, order = "oldest" } = request;
  const start = readCursor(request.cursor);
  const slices = request.search === undefined ? limit + MAX_PARTS : MAX_SLICES;
  const rows = await selectSlices(sql, queue, { order, state: request.state, start, slices });
  const cutOff = rows.length === slices ? rows.at(-1)?.sequence : undefined;
  const direction = order === "oldest" ? 1 : -1;
  const messages: Peeked["messages"] = [];
  for (const row of rows) {
    // Others of this sequence may have been cut off: the next page begins with it.
    if (row.sequence === cutOff)
      return { messages, nextCursor: writeCursor(row.sequence, FIRST_BIT[order]) };
    const lines = row.payload.split("\n");
    for (const bit of bitsOf(BigInt(row.pending)).sort((a, b) => direction * (a - b))) {
      if (row.sequence === start?.sequence && direction * (bit - start.bit) < 0) continue;
      if (messages.length === limit)
        return { messages, nextCursor: writeCursor(row.sequence, bit) };
      const entry = { row, line: lines[bit] ?? "" };
      if (!matches(messageOf(entry), request.search)) continue;
      const sequenceNumber = sequenceNumberOf(row.sequence, bit);
      const message = messageOf(await asHandedOut(entry, queue, envelopes));
      messages.push({ ...message, sequenceNumber });
    }
  }
  return { messages };
}

/** In a cursor: all of that sequence is still to be looked at. */
const FIRST_BIT = { oldest: 0, newest: 62 };

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
): Promise<FifoRow[]> {
  const oldest = order === "oldest";
  return await sql<FifoRow[]>`
    SELECT s.*, b.payload FROM (
      SELECT sequence, batch_id, pending, receive_count, failure_reason, envelope, pending & -pending AS lowest,
             extract(epoch FROM visible_at)::float8 * 1000 AS visible_at, extract(epoch FROM sent_at)::float8 * 1000 AS sent_at,
             extract(epoch FROM published_at)::float8 * 1000 AS published_at,
             CASE WHEN visible_at <= now THEN 'visible' WHEN receive_count > 0 THEN 'inFlight' ELSE 'delayed' END AS state
      FROM fifo_slices f, (SELECT clock_timestamp() AS now) clock
      WHERE queue_id = ${queue.id}::bigint AND account = ${queue.account}::bigint
        AND sent_at > now - make_interval(secs => ${queue.retention}::int)
        AND (${state ?? null}::text IS NULL
             OR ${state ?? null}::text = CASE WHEN visible_at <= now THEN 'visible' WHEN receive_count > 0 THEN 'inFlight' ELSE 'delayed' END)
        ${start ? sql`AND sequence ${oldest ? sql`>=` : sql`<=`} ${start.sequence}::bigint` : sql``}
      ORDER BY ${
        oldest
          ? sql`f.queue_id, f.sequence, f.pending & -f.pending`
          : sql`f.queue_id DESC, f.sequence DESC, f.pending & -f.pending DESC`
      }
      LIMIT ${slices}::int
    ) s JOIN batches b ON b.id = s.batch_id
    ORDER BY ${oldest ? sql`s.sequence, s.lowest` : sql`s.sequence DESC, s.lowest DESC`}`;
}

function writeCursor(sequence: string, bit: number): string {
  return Buffer.from(`${sequence}:${bit}`).toString("base64url");
}

function readCursor(cursor: string | undefined): Cursor | undefined {
  if (cursor === undefined) return undefined;
  const match = /^(\d{1,18}):(\d{1,2})$/.exec(Buffer.from(cursor, "base64url").toString());
  if (!match) refuseCursor();
  const [, sequence = "", bit] = match;
  return { sequence, bit: Number(bit) };
}

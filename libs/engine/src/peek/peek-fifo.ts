import type { Sql } from "@sluice/database";

import { sequenceNumberOf } from "../message-group/sequence-number.ts";
import { bitsOf } from "../message/bits.ts";
import {
  asHandedOut,
  FIRST_BIT,
  isShown,
  lookOf,
  matches,
  messageOf,
  refuseCursor,
  storedColumns,
  type Look,
  type PeekContext,
  type Peeked,
  type PeekedQueue,
  type PeekRequest,
  type StoredRow,
} from "./peeked.ts";

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
  queue: PeekedQueue,
  request: PeekRequest,
): Promise<Peeked> {
  const look = lookOf(request, readCursor(request.cursor));
  const { limit, order, start, slices } = look;
  const rows = await selectSlices(sql, queue, look);
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

async function selectSlices(
  sql: Sql,
  queue: PeekedQueue,
  { order, state, start, slices }: Look<Cursor>,
): Promise<FifoRow[]> {
  const oldest = order === "oldest";
  return await sql<FifoRow[]>`
    SELECT s.*, b.payload FROM (
      SELECT sequence, pending & -pending AS lowest, ${storedColumns(sql)}
      FROM fifo_slices f, (SELECT clock_timestamp() AS now) clock
      WHERE ${isShown(sql, queue, state)}
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

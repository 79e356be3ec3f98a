import type { Sql } from "@sluice/database";

import { sequenceNumberOf } from "../message-group/sequence-number.ts";
import { bitsOf } from "../message/bits.ts";
import { turn } from "../turn.ts";
import {
  FIRST_BIT,
  lookOf,
  PageEnd,
  refuseCursor,
  withLines,
  type Look,
  type OfBatch,
} from "./page.ts";
import {
  asHandedOut,
  clockOf,
  isShown,
  matches,
  messageOf,
  storedColumns,
  type PeekContext,
  type Peeked,
  type PeekedQueue,
  type PeekRequest,
  type StoredRow,
} from "./peeked.ts";

interface FifoRow extends StoredRow, OfBatch {
  sequence: string;
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
  const { order, start, slices } = look;
  const rows = await selectSlices(sql, queue, look);
  const cutOff = rows.length === slices ? rows.at(-1)?.sequence : undefined;
  const direction = order === "oldest" ? 1 : -1;
  // Others of this sequence may have been cut off: the next page begins with it.
  const whole = rows.filter(({ sequence }) => sequence !== cutOff).map((row) => [row]);
  const end = new PageEnd(look);
  const messages: Peeked["messages"] = [];
  for await (const { group, lines } of withLines(sql, whole, look)) {
    const row = group[0]!;
    for (const bit of bitsOf(BigInt(row.pending)).sort((a, b) => direction * (a - b))) {
      if (row.sequence === start?.sequence && direction * (bit - start.bit) < 0) continue;
      if (end.isReached) return { messages, nextCursor: writeCursor(row.sequence, bit) };
      const line = lines.get(row.batch_id)?.[bit];
      // It is gone since its slice was found.
      if (!line) continue;
      if (turn.isOver(line.length)) await turn.next(queue.account);
      const entry = { row, bit, line };
      if (!matches(messageOf(entry), request.search)) continue;
      const sequenceNumber = sequenceNumberOf(row.sequence, bit);
      const message = messageOf(await asHandedOut(entry, queue, envelopes));
      messages.push({ ...message, sequenceNumber });
      end.shown(line);
    }
  }
  if (cutOff === undefined) return { messages };
  return { messages, nextCursor: writeCursor(cutOff, FIRST_BIT[order]) };
}

async function selectSlices(
  sql: Sql,
  queue: PeekedQueue,
  { order, state, start, slices }: Look<Cursor>,
): Promise<FifoRow[]> {
  const oldest = order === "oldest";
  return await sql<FifoRow[]>`
    WITH ${clockOf(sql)}
    SELECT s.*, octet_length(b.payload) AS batch_length FROM (
      SELECT sequence, pending & -pending AS lowest, ${storedColumns(sql)}
      FROM ${state === "inFlight" ? received(sql, queue) : sql`fifo_slices`} f
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

/**
 * SQL: what of a queue may be in flight: what was received of the groups that are held. To look for it in the order of
 * sequences is to pass the whole backlog, which takes a second for a million messages. Groups of which nothing was
 * received are delayed: to look each of them up takes four seconds for a million.
 */
function received(sql: Sql, { id, account }: PeekedQueue) {
  return sql`(
        SELECT s.* FROM fifo_groups g
        JOIN fifo_slices s ON s.queue_id = g.queue_id AND s.group_id = g.group_id AND s.account = g.account
          AND s.sequence BETWEEN g.head_sequence AND g.received_upto
        WHERE g.queue_id = ${id}::bigint AND g.account = ${account}::bigint AND g.available_at > (SELECT now FROM clock)
          AND g.received_upto >= g.head_sequence
        OFFSET 0
      )`;
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

import type { Sql } from "@sluice/database";

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
  type MessageState,
  type PeekContext,
  type Peeked,
  type PeekedMessage,
  type PeekedQueue,
  type PeekRequest,
  type StoredRow,
} from "./peeked.ts";

/**
 * Looks at messages without receiving them: nothing about them changes. A search looks at them as they were published.
 */
export async function peek(
  { sql, envelopes }: PeekContext,
  queue: PeekedQueue,
  request: PeekRequest,
): Promise<Peeked> {
  const look = lookOf(request, readCursor(request.cursor));
  const { order, start } = look;
  let { slices } = look;
  let rows = await selectSlices(sql, queue, look);
  let groups = groupsOf(rows);
  // More at one place than that: a cursor names a place, so it is read whole.
  while (rows.length === slices && groups.length === 1) {
    slices *= 8;
    rows = await selectSlices(sql, queue, { ...look, slices });
    groups = groupsOf(rows);
  }
  // The last slices may be cut off from others at the same place: the next page begins with that place.
  const cutOff = rows.length === slices && groups.length > 1 ? groups.pop() : undefined;
  const end = new PageEnd(look);
  const messages: PeekedMessage[] = [];
  for await (const { group, lines } of withLines(sql, groups, look)) {
    for (const place of inOrder(group, order)) {
      if (isBefore(place, start, order)) continue;
      if (end.isReached) return { messages, nextCursor: writeCursor(place) };
      const line = lines.get(place.row.batch_id)?.[place.bit];
      // It is gone since its slice was found.
      if (!line) continue;
      if (turn.isOver(line.length)) await turn.next(queue.account);
      const entry = { ...place, line };
      if (!matches(messageOf(entry), request.search)) continue;
      messages.push(messageOf(await asHandedOut(entry, queue, envelopes)));
      end.shown(line);
    }
  }
  const next = cutOff && inOrder(cutOff, order)[0];
  return next
    ? { messages, nextCursor: writeCursor({ ...next, bit: FIRST_BIT[order], copy: 0 }) }
    : { messages };
}

interface SliceRow extends StoredRow, OfBatch {
  visible_us: string;
}

interface Cursor {
  visibleUs: string;
  batchId: string;
  bit: number;
  copy: number;
}

async function selectSlices(
  sql: Sql,
  queue: PeekedQueue,
  { order, state, start, slices }: Look<Cursor>,
): Promise<SliceRow[]> {
  const visibleUs = start?.visibleUs ?? null;
  const batchId = start?.batchId ?? null;
  const oldest = order === "oldest";
  return await sql<SliceRow[]>`
    WITH ${clockOf(sql)}
    SELECT s.*, octet_length(b.payload) AS batch_length FROM (
      SELECT ${storedColumns(sql)},
             (extract(epoch FROM visible_at) * 1000000)::bigint AS visible_us
      FROM slices
      WHERE ${isShown(sql, queue, state)} ${whereItIs(sql, state)}
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

/**
 * SQL: the part of the index that has what is in a state. To look for what is in flight behind a backlog of a million
 * slices took a second otherwise, and to find nothing in all of it two.
 */
function whereItIs(sql: Sql, state: MessageState | undefined) {
  if (state === undefined) return sql``;
  return state === "visible"
    ? sql`AND visible_at <= (SELECT now FROM clock)`
    : sql`AND visible_at > (SELECT now FROM clock)`;
}

/** One message of a slice. */
interface Entry {
  row: SliceRow;
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
  const entries = group.flatMap((row) =>
    bitsOf(BigInt(row.pending)).map((bit): Entry => {
      const copy = copies.get(bit) ?? 0;
      copies.set(bit, copy + 1);
      return { row, bit, copy };
    }),
  );
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

function writeCursor({ row, bit, copy }: Entry): string {
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

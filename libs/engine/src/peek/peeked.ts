import { numbers, type Sql } from "@sluice/database";

import type { Envelopes } from "../envelope/envelopes.ts";
import { SluiceError } from "../errors.ts";
import { bitCount } from "../message/bits.ts";
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

/**
 * How much one page shows, in characters of stored lines, before it leaves the rest to the next one; a message more at
 * most.
 */
const MAX_SHOWN = 4 * 1024 * 1024;
/** How much is read at once, in bytes; what is at one place more at most. */
const MAX_READ = 4 * 1024 * 1024;
/** After so many ms a search ends its page. */
const MAX_TIME = 1_000;
/** Slices one call looks at: a search that finds nothing must end, and goes on with the next page. */
const MAX_SLICES = 200;
/**
 * More parts than the messages of a batch fall into, so that a page always gets past the first place that it looks at.
 */
const MAX_PARTS = 64;
const DEFAULT_LIMIT = 10;

/** Where one call looks, from which place on, and how far. */
export interface Look<Cursor> {
  order: "oldest" | "newest";
  state: MessageState | undefined;
  start: Cursor | undefined;
  /** Most messages. */
  limit: number;
  search: string | undefined;
  /** Most slices. */
  slices: number;
}

export function lookOf<Cursor>(request: PeekRequest, start: Cursor | undefined): Look<Cursor> {
  const { limit = DEFAULT_LIMIT, order = "oldest", state, search } = request;
  return {
    order,
    state,
    start,
    limit,
    search,
    slices: search === undefined ? limit + MAX_PARTS : MAX_SLICES,
  };
}

/** Tells where a page ends. */
export class PageEnd {
  readonly #limit: number;
  readonly #endsAt: number;
  #isBegun = false;
  #messages = 0;
  #length = 0;

  constructor({ limit, search }: Pick<Look<unknown>, "limit" | "search">) {
    this.#limit = limit;
    this.#endsAt = search === undefined ? Infinity : performance.now() + MAX_TIME;
  }

  /** Asked before each message: whether that is left to the next page. The first one never is. */
  get isReached(): boolean {
    if (!this.#isBegun) {
      this.#isBegun = true;
      return false;
    }
    return (
      this.#messages >= this.#limit ||
      this.#length >= MAX_SHOWN ||
      performance.now() >= this.#endsAt
    );
  }

  shown(line: string): void {
    this.#messages += 1;
    this.#length += line.length;
  }
}

/** What a slice has of its batch. */
export interface OfBatch {
  batch_id: string;
  pending: string;
  /** Of the whole batch, in bytes. */
  batch_length: number;
}

/**
 * Slices that belong together, with the lines of their batches. These are read some at a time: no more, as a rule, than
 * are shown.
 */
export async function* withLines<Row extends OfBatch>(
  sql: Sql,
  groups: readonly (readonly Row[])[],
  { limit, search }: Pick<Look<unknown>, "limit" | "search">,
): AsyncGenerator<{ group: readonly Row[]; lines: ReadonlyMap<string, readonly string[]> }> {
  const most = search === undefined ? limit : Infinity;
  for (let start = 0; start < groups.length;) {
    const lengths = new Map<string, number>();
    let [length, messages, end] = [0, 0, start];
    for (; end < groups.length && length < MAX_READ && messages <= most; end += 1) {
      for (const { batch_id, batch_length, pending } of groups[end] ?? []) {
        if (!lengths.has(batch_id)) length += batch_length;
        lengths.set(batch_id, batch_length);
        messages += bitCount(BigInt(pending));
      }
    }
    const lines = await readLines(sql, [...lengths.keys()]);
    for (const group of groups.slice(start, end)) yield { group, lines };
    start = end;
  }
}

async function readLines(
  sql: Sql,
  batchIds: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await sql<{ id: string; payload: string }[]>`
    SELECT id, payload FROM batches WHERE id = ANY(${numbers(batchIds)}::bigint[])`;
  return new Map(rows.map(({ id, payload }) => [id, payload.split("\n")]));
}

/** In a cursor instead of a bit: everything at that place is still to be looked at. */
export const FIRST_BIT = { oldest: 0, newest: 62 };

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

export function refuseCursor(): never {
  throw new SluiceError("invalid_request", "the cursor is not one that a peek returned", {
    details: [{ path: "query.cursor", message: "pass nextCursor of the page before, unchanged" }],
  });
}

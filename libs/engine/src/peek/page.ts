import { numbers, type Sql } from "@sluice/database";

import { SluiceError } from "../errors.ts";
import { bitCount } from "../message/bits.ts";
import type { MessageState, PeekRequest } from "./peeked.ts";

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

export function refuseCursor(): never {
  throw new SluiceError("invalid_request", "the cursor is not one that a peek returned", {
    details: [{ path: "query.cursor", message: "pass nextCursor of the page before, unchanged" }],
  });
}

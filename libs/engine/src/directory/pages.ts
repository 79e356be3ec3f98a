import { sql, type Column, type SQL } from "drizzle-orm";

import { SluiceError } from "../errors.ts";
import { FewAtOnce } from "../few-at-once.ts";

/** One page of a list. `nextCursor` is absent on the last one. */
export interface Page<Item> {
  items: Item[];
  nextCursor?: string;
}

export interface PageRequest {
  prefix?: string | undefined;
  cursor?: string | undefined;
  /** 1-1,000; default 100. */
  limit?: number | undefined;
}

export const DEFAULT_PAGE = 100;

const turns = new FewAtOnce("lists", { running: 1, waiting: 100 });

/**
 * Reads a page in turn, those of all accounts one after the other: a large one takes a third of a second, and the
 * changes of all accounts go over the same two connections. When what every call needs did so too, 300 lists of one
 * account under way had the publishes of others wait for a minute.
 * @throws {SluiceError} `too_many_requests` when a hundred lists of the account wait already
 */
export async function inTurn<Result>(
  account: string,
  read: () => Promise<Result>,
): Promise<Result> {
  return await turns.run(account, read);
}

/** Cuts a page out of rows that were read with one more than the limit; the cursor names the last row shown. */
export function pageOf<Item>(
  rows: readonly Item[],
  limit: number,
  nameOf: (item: Item) => string,
): Page<Item> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return rows.length > limit && last !== undefined
    ? { items, nextCursor: cursorOf(nameOf(last)) }
    : { items };
}

/** For the page after the item with this name. */
export function cursorOf(name: string): string {
  return Buffer.from(name).toString("base64url");
}

/** So many bytes of filter policies or tags are in a page, and those of an item more at most, whatever its limit. */
const MAX_PAGE = 4 * 1024 * 1024;

/**
 * SQL: whether a row, in this order, is within the bytes of a page. The length of a text is known without reading it,
 * also where it is stored beside its row.
 *
 * 250 subscriptions that shared a policy of 254 KB were 64 MB an answer, and four of those at once stopped the process
 * for 1.4 s; a page of 4 MiB each, for 0.2 s. The window goes along with the index as far as the limit, so a list of
 * small rows costs what it cost.
 */
export function fitsPage(bytes: SQL, order: Column): SQL<boolean> {
  return sql<boolean>`sum(${bytes}) OVER (ORDER BY ${order} ROWS UNBOUNDED PRECEDING) - ${bytes} < ${sql.raw(String(MAX_PAGE))}`;
}

/** SQL: a column where its row is within the bytes of a page; beyond them null, which nobody is shown. */
export function ifFits<Of extends Column>(fits: SQL<boolean>, column: Of) {
  return sql<Of["_"]["data"]>`CASE WHEN ${fits} THEN ${column} END`.mapWith(column);
}

/** The limit of a page that may end earlier by its bytes; the rows beyond them are the last ones. */
export function fittingLimit(rows: readonly { fits: boolean }[], limit: number): number {
  return Math.min(limit, rows.filter(({ fits }) => fits).length);
}

const NAME = /^[A-Za-z0-9_.-]{1,256}$/;
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * What the cursor of a list names: its last item.
 * @param form - of what the list is ordered by
 * @throws {SluiceError} `invalid_request` when the cursor is not one that such a list returned.
 */
export function afterCursor(cursor: string | undefined, form = NAME): string | undefined {
  if (cursor === undefined) return undefined;
  const name = Buffer.from(cursor, "base64url").toString();
  if (!form.test(name)) {
    throw new SluiceError("invalid_request", "the cursor is not one that a list returned", {
      details: [{ path: "cursor", message: "pass nextCursor of the page before, unchanged" }],
    });
  }
  return name;
}

/** The bound of a prefix in a `LIKE`, with its wildcards made literal. */
export function likePrefix(prefix: string): string {
  return `${prefix.replaceAll(/[\\%_]/g, String.raw`\$&`)}%`;
}

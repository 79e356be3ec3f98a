import type { ControlPlane, schema } from "@sluice/database";
import { and, asc, eq, gt, like, sql, type SQL } from "drizzle-orm";

import {
  afterCursor,
  DEFAULT_PAGE,
  inTurn,
  likePrefix,
  pageOf,
  type Page,
  type PageRequest,
} from "./pages.ts";

/** A table whose rows are found by account and name. */
type NamedTable = typeof schema.topics | typeof schema.queues;

/** SQL: whether a row is the one of this name. */
export function isNamed(table: NamedTable, account: string, name: string): SQL | undefined {
  return and(eq(table.account, BigInt(account)), eq(table.name, name));
}

/** SQL, of a prepared statement: whether a row is one of those that `SharedLookUps` asks for. */
export function isAmongThose({ account, name }: NamedTable): SQL {
  const accounts = sql.placeholder("accounts");
  const names = sql.placeholder("names");
  return sql`(${account}, ${name}) IN (SELECT * FROM unnest(${accounts}::bigint[], ${names}::text[]))`;
}

/**
 * SQL: whether a row is in the rest of a list. @throws {SluiceError} `invalid_request` for a cursor that is none
 */
export function isListed(
  table: NamedTable,
  account: string,
  { prefix, cursor }: PageRequest,
): SQL | undefined {
  const after = afterCursor(cursor);
  return and(
    eq(table.account, BigInt(account)),
    after === undefined ? undefined : gt(table.name, after),
    prefix === undefined ? undefined : like(table.name, likePrefix(prefix)),
  );
}

/** The names of a list alone, in their order. */
export async function pageOfNames(
  db: ControlPlane,
  table: NamedTable,
  account: string,
  request: PageRequest,
): Promise<Page<string>> {
  const { limit = DEFAULT_PAGE } = request;
  const rows = await inTurn(account, async () =>
    db
      .select({ name: table.name })
      .from(table)
      .where(isListed(table, account, request))
      .orderBy(asc(table.name))
      .limit(limit + 1),
  );
  const names = rows.map(({ name }) => name);
  return pageOf(names, limit, (name) => name);
}

import type postgres from "postgres";

import type { Sql } from "./connect.ts";

/** What the driver calls when the answer to a query is there. */
type Then = (
  this: unknown,
  onfulfilled?: ((rows: unknown) => unknown) | null,
  onrejected?: ((error: unknown) => unknown) | null,
) => unknown;

const mended = new WeakSet<object>();

/**
 * Has the driver's results begin with their first row. It (postgres 3.4.9) puts the rows of a result where those of the
 * last one ended when that failed in its middle, by an error or a lost connection: after a result that broke off at its
 * third row the next one on that connection, also once it is open again, has three holes in front, and
 * `const [row] = …` finds nothing where there is something.
 *
 * Its queries are a class that it does not export; one of them shows it.
 */
export function mendResults(sql: Sql): void {
  const queries = Object.getPrototypeOf(sql``) as { then: Then };
  if (mended.has(queries)) return;
  mended.add(queries);
  const { then } = queries;
  // oxlint-disable-next-line unicorn/no-thenable -- It has one already.
  queries.then = function (onfulfilled, onrejected) {
    const fulfilled = (rows: unknown) => (onfulfilled ? onfulfilled(whole(rows)) : whole(rows));
    return then.call(this, fulfilled, onrejected);
  };
}

function whole(rows: unknown): unknown {
  if (Array.isArray(rows) && rows.length > 0 && !(0 in rows))
    removeHoles(rows as (postgres.Row | undefined)[]);
  return rows;
}

function removeHoles(rows: (postgres.Row | undefined)[]): void {
  rows.splice(
    0,
    rows.findIndex((_, index) => index in rows),
  );
}

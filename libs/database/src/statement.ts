import type postgres from "postgres";

/** A statement that is still to be sent, and what its answer means. */
export class Statement<Result> {
  readonly query: DriverQuery;
  readonly #read: (rows: never) => Result;

  constructor(query: DriverQuery, read: (rows: never) => Result) {
    this.query = query;
    this.#read = read;
  }

  /** Sends it, after what was sent before; once. */
  send(): Promise<Result> {
    return this.query.execute().then((rows) => this.#read(rows as never));
  }
}

/** With what the driver (postgres 3.4.9) has beside what it declares. */
export type DriverQuery = postgres.PendingQuery<postgres.Row[]> & {
  /** Does nothing where it has its answer. */
  reject: (error: Error) => void;
  /**
   * Whether it was sent by the name of a statement that the connection knew already: set as it is sent, read again when
   * it fails.
   */
  prepared?: boolean;
  options: { onexecute?: () => boolean };
};

/**
 * Keeps the driver from sending statements once more whose plans are outdated: it would do that after all that was sent
 * meanwhile, outside of their transaction, and without a Sync. Whatever is sent before the answer to that gets the
 * answers of another one, or none (postgres 3.4.9). Those that it sends later, as it does behind a statement that is
 * new to the connection, it sends one by one: nothing is behind them yet.
 *
 * @param queries - That it has just been told to send, which it does in microtasks.
 */
export function sendOnce(queries: readonly DriverQuery[]): void {
  queueMicrotask(() => {
    for (const query of queries) query.prepared = false;
  });
}

/**
 * Keeps the driver from sending anything behind a statement before its answer, for one that may wait for a lock as long
 * as a statement may take. Where no connection is idle the driver (postgres 3.4.9) sends what comes behind what is
 * under way on the one that has been at work for longest: then it would wait with it, while others are free again.
 * (Its option `max_pipeline` leaves one behind, and with 0 has no transactions.)
 */
export function sendNothingBehind<Row extends postgres.MaybeRow>(
  query: postgres.PendingQuery<Row[]>,
): void {
  // By this a transaction takes its connection as it begins; what it gives says whether that takes more.
  (query as unknown as DriverQuery).options.onexecute = () => false;
}

/** What Postgres says of a statement whose plan is outdated, or that it does not know any more: by where it says so. */
const OUTDATED = new Set([
  "FetchPreparedStatement",
  "RevalidateCachedQuery",
  "transformAssignedExpr",
]);

export function isOutdated(error: unknown): boolean {
  return OUTDATED.has((error as { routine?: string } | undefined)?.routine ?? "");
}

export function statement<Rows extends readonly postgres.MaybeRow[], Result>(
  query: postgres.PendingQuery<Rows>,
  read: (rows: Rows) => Result,
): Statement<Result> {
  return new Statement(query as unknown as DriverQuery, read as (rows: never) => Result);
}

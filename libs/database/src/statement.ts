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
  /** Of one that the driver sent once more. */
  retried?: Error;
};

export function statement<Rows extends readonly postgres.MaybeRow[], Result>(
  query: postgres.PendingQuery<Rows>,
  read: (rows: Rows) => Result,
): Statement<Result> {
  return new Statement(query as unknown as DriverQuery, read as (rows: never) => Result);
}

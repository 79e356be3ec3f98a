import postgres from "postgres";

import type { Sql } from "./connect.ts";
import { classifyFailure } from "./failure.ts";

/** A statement that is still to be sent, and what its answer means. */
export class Statement<Result> {
  /** What the driver calls it. */
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

export function statement<Rows extends readonly postgres.MaybeRow[], Result>(
  query: postgres.PendingQuery<Rows>,
  read: (rows: Rows) => Result,
): Statement<Result> {
  return new Statement(query as unknown as DriverQuery, read as (rows: never) => Result);
}

/** What became of statements that share a commit: what each answered, or the error of the first one that failed. */
export type Outcome<Result> =
  | { results: Result[] }
  | {
      /** Which one it was; where it was the commit, their number. */
      failed: number;
      /** Where it is not known what became of them, one that is `unavailable` (see classifyFailure). */
      error: unknown;
      /** Whether Postgres has said that it undid them all. Otherwise nobody knows. */
      isUndone: boolean;
    };

/** What the driver has beside what it declares. */
type DriverQuery = postgres.PendingQuery<postgres.Row[]> & {
  /** The connection it was sent on; null before that. */
  state: { pid: number; secret: number } | null;
  /** Of one that the driver sent once more. */
  retried?: Error;
};

/**
 * Runs statements in one transaction, and sends all of them at once: they cost one round trip and one flush of the log.
 *
 * Each sees what those before it did. The driver would not have a transaction written out like this in a pool: a connection that is lost in its
 * middle is replaced, and what was still to be sent goes to the new one, where each statement is a transaction of its own. So what was
 * not sent by then is taken back, and there are results only if all of it was one transaction: on one connection, each sent
 * once, and committed as Postgres says.
 *
 * @param sql - A pool of one connection without a lifetime, of which nobody else makes use meanwhile.
 * @param statements - All on that pool, none of them sent.
 */
export async function inOneCommit<Result>(
  sql: Sql,
  statements: readonly Statement<Result>[],
): Promise<Outcome<Result>> {
  const [only] = statements;
  if (only && statements.length === 1) return await alone(only);
  const begin = sql.unsafe("BEGIN") as unknown as DriverQuery;
  const commit = sql.unsafe("COMMIT") as unknown as DriverQuery;
  const queries = [begin, ...statements.map(({ query }) => query), commit];
  const sent = [begin.execute(), ...statements.map((each) => each.send()), commit.execute()];
  for (const answer of sent) {
    answer.catch((error: unknown) => {
      if (!isAnswer(error)) takeBack(queries);
    });
  }
  const settled = await Promise.allSettled(sent as Promise<unknown>[]);
  const isOneTransaction = queries.every(
    ({ state, retried }) =>
      state !== null &&
      state.pid === begin.state?.pid &&
      state.secret === begin.state.secret &&
      !retried,
  );
  const committed = settled.at(-1);
  const said =
    committed?.status === "fulfilled" ? (committed.value as postgres.RowList<[]>).command : "";
  const failed = settled.findIndex(({ status }) => status === "rejected");
  if (failed < 0 && isOneTransaction && said === "COMMIT") {
    const answers = settled.slice(1, -1) as PromiseFulfilledResult<Result>[];
    return { results: answers.map(({ value }) => value) };
  }
  const isUndone = isOneTransaction && said === "ROLLBACK";
  const reason: unknown =
    failed < 0 ? undefined : (settled[failed] as PromiseRejectedResult).reason;
  return {
    failed: Math.max(0, failed - 1),
    error: isUndone || classifyFailure(reason) === "unavailable" ? reason : splitUp(reason),
    isUndone,
  };
}

async function alone<Result>(only: Statement<Result>): Promise<Outcome<Result>> {
  try {
    return { results: [await only.send()] };
  } catch (error) {
    return { failed: 0, error, isUndone: isAnswer(error) };
  }
}

/** Whether Postgres refused a statement, and is there for the next one. */
function isAnswer(error: unknown): boolean {
  return error instanceof postgres.PostgresError && !["FATAL", "PANIC"].includes(error.severity);
}

/** What was sent already is left alone. */
function takeBack(queries: readonly DriverQuery[]): void {
  for (const query of queries) if (query.state === null) query.cancel();
}

/** Not with a cause, which would be taken for what became of them. */
function splitUp(reason?: unknown): Error {
  const why = reason instanceof Error ? `: ${reason.message}` : "";
  return Object.assign(new Error(`the statements did not run in one transaction${why}`), {
    code: "CONNECTION_CLOSED",
  });
}

import postgres from "postgres";

import type { Sql } from "./connect.ts";
import { classifyFailure } from "./failure.ts";
import { isOutdated, sendOnce, type DriverQuery, type Statement } from "./statement.ts";

/** What became of statements that share a commit: what each answered, or the error of the first one that failed. */
export type Outcome<Result> =
  | { results: Result[] }
  | {
      /** Which one it was; where it was the commit, their number. */
      failed: number;
      /** Where it is not known what became of them, one that is `unavailable` (see classifyFailure). */
      error: unknown;
      /** Whether none has done anything: Postgres said so, or they were not sent. Otherwise nobody knows. */
      isUndone: boolean;
    };

/**
 * How long a round may take, or connecting, in ms, before the connection is given up whatever the driver thinks of it.
 */
const LAST_RESORT = 30_000;

/**
 * A connection of its own for statements that share a transaction: BEGIN, they and COMMIT are sent at once, so they
 * cost one round trip and one flush of the log. (The driver's own `begin` waits for BEGIN and COMMIT: two round trips
 * more.)
 *
 * What is sent goes over this connection or none. In a pool what is still to be sent when a connection is lost goes
 * over the next one: there the rest of a transaction would be statements that are committed one by one. So the
 * connection is reserved for as long as it lasts, and with it ends whatever was under way on it.
 */
export class SharedConnection {
  readonly #open: (onclose: () => void) => Sql;
  readonly #lastResort: number;
  /** Of one connection. */
  #pool: Sql;
  /** Until its connection is lost. */
  #connection: postgres.ReservedSql | undefined;
  #connecting: Promise<Sql> | undefined;
  #losses = 0;
  /**
   * Whether the driver takes statements for known that the connection does not know as they are now: it is good for
   * nothing more.
   */
  #isOutdated = false;
  #isClosed = false;
  readonly #underWay = new Set<readonly DriverQuery[]>();

  /**
   * @param open - Makes a pool of one connection that calls back when it is closed.
   * @param lastResort - In ms; see {@link LAST_RESORT}.
   */
  constructor(open: (onclose: () => void) => Sql, lastResort = LAST_RESORT) {
    this.#open = open;
    this.#lastResort = lastResort;
    this.#pool = this.#openPool();
  }

  /**
   * Runs statements in one transaction; each sees what those before it did. A single one needs none.
   *
   * @param make - Makes them on the connection that it is given.
   */
  async inOneCommit<Result>(
    make: (sql: Sql) => readonly Statement<Result>[],
  ): Promise<Outcome<Result>> {
    let connection: Sql;
    if (this.#isOutdated && this.#underWay.size > 0) return outdated(0);
    if (this.#isOutdated) this.#giveUp();
    try {
      connection = this.#connection ?? (await (this.#connecting ??= this.#connect()));
    } catch (error) {
      // Nothing was sent.
      return { failed: 0, error, isUndone: true };
    }
    const statements = make(connection);
    const [only] = statements;
    return only && statements.length === 1
      ? await this.#alone(only)
      : await this.#together(connection, statements);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#connection?.release();
    this.#connection = undefined;
    await this.#pool.end({ timeout: 1 });
  }

  #openPool(): Sql {
    const pool = this.#open(() => {
      if (pool === this.#pool) this.#lost();
    });
    return pool;
  }

  async #connect(): Promise<Sql> {
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.#giveUp();
        reject(unavailable("Postgres could not be reached in time"));
      }, this.#lastResort);
    });
    try {
      return (this.#connection = await Promise.race([this.#reserve(), tooLong]));
    } finally {
      clearTimeout(timer);
      this.#connecting = undefined;
    }
  }

  /**
   * The driver can only reserve a connection that is open: what it opens for it without fetching types, it never hands
   * out.
   */
  async #reserve(): Promise<postgres.ReservedSql> {
    for (;;) {
      const losses = this.#losses;
      await this.#pool`SELECT 1`;
      if (this.#isClosed) throw closed();
      if (losses === this.#losses) return await this.#pool.reserve();
    }
  }

  /** The driver rejects what it has sent, but not what was still to be sent. */
  #lost(): void {
    this.#losses += 1;
    this.#connection = undefined;
    this.#isOutdated = false;
    for (const query of [...this.#underWay].flat()) query.reject(closed());
  }

  /** Runs what is under way, which ends with the connection at the latest. */
  async #run<Result>(
    queries: readonly DriverQuery[],
    send: () => Promise<Result>,
  ): Promise<Result> {
    this.#underWay.add(queries);
    const lastResort = setTimeout(() => {
      this.#giveUp();
    }, this.#lastResort);
    try {
      const sent = send();
      sendOnce(queries);
      return await sent;
    } finally {
      clearTimeout(lastResort);
      this.#underWay.delete(queries);
    }
  }

  /** The driver has lost count of its answers, as it does after a parameter that it cannot send. */
  #giveUp(): void {
    const pool = this.#pool;
    this.#pool = this.#openPool();
    this.#lost();
    void pool.end({ timeout: 0 });
  }

  async #alone<Result>(only: Statement<Result>): Promise<Outcome<Result>> {
    try {
      return { results: [await this.#run([only.query], () => only.send())] };
    } catch (error) {
      if (isOutdated(error)) return this.#leave(0);
      return { failed: 0, error, isUndone: isAnswer(error) };
    }
  }

  async #together<Result>(
    connection: Sql,
    statements: readonly Statement<Result>[],
  ): Promise<Outcome<Result>> {
    const begin = connection.unsafe("BEGIN") as unknown as DriverQuery;
    const commit = connection.unsafe("COMMIT") as unknown as DriverQuery;
    const queries = [begin, ...statements.map(({ query }) => query), commit];
    const settled = await this.#run(queries, () =>
      Promise.allSettled<unknown>([
        begin.execute(),
        ...statements.map((each) => each.send()),
        commit.execute(),
      ]),
    );
    const committed = settled.at(-1);
    const said =
      committed?.status === "fulfilled" ? (committed.value as postgres.RowList<[]>).command : "";
    const first = settled.findIndex(({ status }) => status === "rejected");
    if (first < 0 && said === "COMMIT") {
      const answers = settled.slice(1, -1) as PromiseFulfilledResult<Result>[];
      return { results: answers.map(({ value }) => value) };
    }
    const isUndone = said === "ROLLBACK";
    const failed = Math.max(0, first - 1);
    const reason: unknown =
      first < 0 ? undefined : (settled[first] as PromiseRejectedResult).reason;
    if (isUndone && isOutdated(reason)) return this.#leave(failed);
    const error = isUndone || classifyFailure(reason) === "unavailable" ? reason : splitUp(reason);
    return { failed, error, isUndone };
  }

  /** Leaves the connection, as soon as nothing is under way on it any more. */
  #leave(failed: number): Outcome<never> {
    this.#isOutdated = true;
    return outdated(failed);
  }
}

/** Whether Postgres refused a statement, and is there for the next one. */
function isAnswer(error: unknown): boolean {
  return error instanceof postgres.PostgresError && !["FATAL", "PANIC"].includes(error.severity);
}

function closed(): Error {
  return unavailable("the connection to Postgres was closed");
}

/** Not with a cause, which would be taken for what became of them. */
function splitUp(reason?: unknown): Error {
  const why = reason instanceof Error ? `: ${reason.message}` : "";
  return unavailable(`the statements did not run in one transaction${why}`);
}

function outdated(failed: number): Outcome<never> {
  const error = unavailable("the connection to Postgres has outdated plans");
  return { failed, error, isUndone: true };
}

function unavailable(message: string): Error {
  return Object.assign(new Error(message), { code: "CONNECTION_CLOSED" });
}

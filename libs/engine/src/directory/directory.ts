import { LRUCache } from "lru-cache";

import { SluiceError, type ErrorCode } from "../errors.ts";
import { Ageing } from "./ageing.ts";

export interface DirectoryOptions<Row extends { id: string }> {
  /** Reads the row of a name from Postgres; undefined when there is none. */
  find: (account: string, name: string) => Promise<Row | undefined>;
  /**
   * Those of many names that exist, by name, with one query. With it, rows that are in use are read anew before they
   * are out of date.
   */
  findAll?: (account: string, names: readonly string[]) => Promise<ReadonlyMap<string, Row>>;
  notFound: (name: string) => SluiceError;
  /** Codes of errors that, beside that of `notFound`, may be due to an outdated row; see {@link Directory.use}. */
  doubts?: readonly ErrorCode[];
}

/** How long a row may be out of date when the hint of its change was lost, in ms. */
const TIME_TO_LIVE = 60_000;
const MAX_ROWS = 20_000;
/** The same in characters: with all the tags and attributes that one may have, so many rows would take 1.8 GB. */
const MAX_LENGTH = 32 * 1024 * 1024;
/**
 * A row that is used with less than this to go is read anew, in ms: a queue whose long polls come every 20 s is never
 * without.
 */
const AGEING = 30_000;
/** For how long calls join a look-up that is under way, in ms: it may wait for a connection that fell silent. */
const SHARED_FOR = 1_000;

/** What is under way for a name, until it is forgotten: the last look-up, and when that began. */
interface LookUp<Row> {
  row: Promise<Row>;
  since: number;
}

/**
 * Names → rows of topics or queues, remembered for a moment so that a hot call asks Postgres nothing.
 *
 * It may be out of date: statements that write check for themselves that their topic or queue still exists, and
 * {@link Directory.use} then looks again; of receives, the waiting room finds it out. Names that do not exist are not
 * remembered.
 */
export class Directory<Row extends { id: string }> {
  readonly #options: DirectoryOptions<Row>;
  readonly #rows = new LRUCache<string, Row>({
    max: MAX_ROWS,
    maxSize: MAX_LENGTH,
    sizeCalculation: (row) => JSON.stringify(row).length,
    ttl: TIME_TO_LIVE,
    // It keeps the clock that it found when it was loaded; tests have another.
    perf: { now: () => performance.now() },
  });
  readonly #lookups = new Map<string, LookUp<Row>>();
  readonly #ageing: Ageing | undefined;

  constructor(options: DirectoryOptions<Row>) {
    this.#options = options;
    const { findAll } = options;
    this.#ageing =
      findAll &&
      new Ageing((account, names) => this.#refresh(account, names, findAll(account, names)));
  }

  /** @throws {SluiceError} `topic_not_found` or `queue_not_found` */
  get(account: string, name: string): Row | Promise<Row> {
    const key = keyOf(account, name);
    const row = this.#rows.get(key);
    if (row === undefined) return this.#lookUp(account, name);
    if (this.#rows.getRemainingTTL(key) < AGEING) this.#ageing?.add(account, name);
    return row;
  }

  /** Runs a call with the row of a name; when that row turns out to be outdated, once more with a fresh one. */
  async use<Result>(
    account: string,
    name: string,
    call: (row: Row) => Result | Promise<Result>,
  ): Promise<Result> {
    const row = await this.get(account, name);
    try {
      return await call(row);
    } catch (error) {
      if (!this.#mayBeOutdated(error, name)) throw error;
      this.forget(account, name);
      const fresh = await this.#lookUp(account, name);
      if (fresh.id === row.id) throw error;
      return await call(fresh);
    }
  }

  forget(account: string, name: string): void {
    this.#rows.delete(keyOf(account, name));
    // A look-up under way may have read what is now out of date: nobody new joins it, and it remembers nothing.
    this.#lookups.delete(keyOf(account, name));
  }

  forgetAll(): void {
    this.#rows.clear();
    this.#lookups.clear();
  }

  #mayBeOutdated(error: unknown, name: string): boolean {
    if (!(error instanceof SluiceError)) return false;
    const { notFound, doubts = [] } = this.#options;
    return error.code === notFound(name).code || doubts.includes(error.code);
  }

  async #refresh(
    account: string,
    names: readonly string[],
    finding: Promise<ReadonlyMap<string, Row>>,
  ): Promise<void> {
    const before = names.map((name) => this.#rows.peek(keyOf(account, name)));
    const found = await finding;
    names.forEach((name, index) => {
      const key = keyOf(account, name);
      // What was forgotten meanwhile may have been read before it changed.
      if (before[index] === undefined || this.#rows.peek(key) !== before[index]) return;
      const row = found.get(name);
      if (row) this.#rows.set(key, row);
      else this.#rows.delete(key);
    });
  }

  #lookUp(account: string, name: string): Promise<Row> {
    const key = keyOf(account, name);
    const underWay = this.#lookups.get(key);
    const now = performance.now();
    if (underWay && now - underWay.since < SHARED_FOR) return underWay.row;
    const row = this.#options
      .find(account, name)
      .then((found) => {
        if (!found) throw this.#options.notFound(name);
        if (this.#lookups.get(key) === lookup) this.#rows.set(key, found);
        return found;
      })
      .finally(() => {
        if (this.#lookups.get(key) === lookup) this.#lookups.delete(key);
      });
    // What those before it find counts as well.
    const lookup = Object.assign(underWay ?? {}, { row, since: now });
    this.#lookups.set(key, lookup);
    return row;
  }
}

function keyOf(account: string, name: string): string {
  return `${account}/${name}`;
}

import { SluiceError } from "../errors.ts";
import { within } from "../within.ts";
import { takeRound, type Weighed } from "./take-round.ts";

export interface GroupCommitOptions<Item, Result> {
  /** Writes the items of one round together. Results in the order of the items; an Error rejects its item alone. */
  write: (items: Item[]) => Promise<(Result | Error)[]>;
  /** How much an item adds to a round and to the waiting line (bytes, say). */
  weigh: (item: Item) => number;
  /** A round stops growing at this weight (one item may be heavier). */
  maxRound: number;
  /**
   * Where items go to: no target keeps others waiting for long; see {@link takeRound}. Default: items are taken as they
   * come.
   */
  targetOf?: ((item: Item) => string) | undefined;
  /**
   * After how many ms a round is no longer waited for: the next one begins beside it, as over another connection, and
   * may end before it. Default: never.
   */
  patience?: number;
  /** Above this weight waiting, `add` refuses with `too_many_requests`: memory stays bounded. */
  maxWaiting: number;
}

interface Waiting<Item, Result> extends Weighed<Item> {
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

/**
 * Merges concurrent calls into rounds: whatever arrives while a round is being written shares the next one. Look-ups
 * share their statements in the same way.
 *
 * Rounds grow with load and cost nothing when idle: a lone call is written at once. One round at a time, since two
 * at once split the same load into twice as many commits (and the next round is as long away as an fsync).
 */
export class GroupCommit<Item, Result> {
  readonly #options: GroupCommitOptions<Item, Result>;
  #waiting: Waiting<Item, Result>[] = [];
  #waitingWeight = 0;
  #running: Promise<void> | undefined;

  constructor(options: GroupCommitOptions<Item, Result>) {
    this.#options = options;
  }

  /** @throws {SluiceError} `too_many_requests` when too much is waiting already, or what the round failed with. */
  add(item: Item): Promise<Result> {
    const weight = this.#options.weigh(item);
    if (this.#waitingWeight > 0 && this.#waitingWeight + weight > this.#options.maxWaiting) {
      return Promise.reject(tooMuchWaiting());
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, weight, resolve, reject });
      this.#waitingWeight += weight;
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing is waiting or being written, but by rounds that are no longer waited for. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    // Calls of the same tick share the first round too.
    await Promise.resolve();
    const { patience } = this.#options;
    while (this.#waiting.length > 0) {
      const written = this.#writeRound(this.#takeRound());
      await (patience === undefined ? written : within(patience, written));
    }
    this.#running = undefined;
  }

  #takeRound(): Waiting<Item, Result>[] {
    const { round, rest } = takeRound<Item, Waiting<Item, Result>>(this.#waiting, this.#options);
    this.#waiting = rest;
    for (const { weight } of round) this.#waitingWeight -= weight;
    return round;
  }

  async #writeRound(round: Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#options.write(round.map((entry) => entry.item));
      round.forEach((entry, index) => {
        const result = results[index] as Result | Error;
        if (result instanceof Error) entry.reject(result);
        else entry.resolve(result);
      });
    } catch (error) {
      for (const entry of round) entry.reject(error);
    }
  }
}

export function tooMuchWaiting(): SluiceError {
  return new SluiceError(
    "too_many_requests",
    "more is waiting to be written than this server takes on; retry later",
  );
}

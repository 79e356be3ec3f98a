import { isLockNotAvailable } from "@sluice/database";

import { ByQueue } from "./by-queue.ts";
import { GroupCommit, type GroupCommitOptions } from "./group-commit.ts";
import { SOON, type LockWaits } from "./lock-waits.ts";

/** What became of items that were written. */
export type Results<Item, Result> = Map<Item, Result | Error>;

export interface InOrderOptions<Item, Result> extends Omit<
  GroupCommitOptions<Item, Result>,
  "write"
> {
  waits: LockWaits;
  /** The topic or queue that an item goes to, by its id. */
  targetOf: (item: Item) => string;
  /**
   * Writes items together, in their order, and notes what became of each. It ends at the first lock that it does not
   * get within the `lockTimeout`, with an error that isLockNotAvailable knows: what it has noted nothing of by then is
   * not written.
   */
  write: (
    items: Item[],
    results: Results<Item, Result>,
    lockTimeout: string | undefined,
  ) => Promise<void>;
}

/**
 * Merges concurrent calls for all topics (or queues) into rounds, as GroupCommit does. A round that meets a lock gives
 * it up soon, and its calls go on in lines, one for each target, until they are done: whoever has locked one target
 * holds up no other one, neither here nor, by the locks that the round has taken already, in other processes.
 *
 * The calls for one target are written in the order in which they come. So each of them comes by the rounds, also where
 * its target has a line, and joins that as its round begins: those before it are done by then, or stand in the line.
 */
export class InOrder<Item, Result> {
  readonly #options: InOrderOptions<Item, Result>;
  /** They resolve with what may still be under way. */
  readonly #ofAll: GroupCommit<Item, Result | Promise<Result>>;
  readonly #lines: ByQueue<Item, Result>;

  constructor(options: InOrderOptions<Item, Result>) {
    this.#options = options;
    const { weigh, maxRound, maxWaiting, targetOf } = options;
    this.#ofAll = new GroupCommit({
      write: (items) => this.#writeRound(items),
      targetOf,
      weigh,
      maxRound,
      maxWaiting,
    });
    this.#lines = new ByQueue({
      write: (items) => this.#writeLine(items),
      weigh,
      maxRound,
      maxWaiting,
    });
  }

  /** @throws {SluiceError} `too_many_requests` when too much is waiting already, or what its round failed with. */
  async add(item: Item): Promise<Result> {
    return await this.#ofAll.add(item);
  }

  /** Resolves when nothing is waiting or being written. */
  async idle(): Promise<void> {
    await this.#ofAll.idle();
    await this.#lines.idle();
  }

  async #writeRound(items: readonly Item[]): Promise<(Result | Error | Promise<Result>)[]> {
    const { targetOf } = this.#options;
    const inLine = new Map<Item, Promise<Result>>();
    const lineUp = (item: Item) => {
      const result = this.#lines.add(targetOf(item), item);
      // Its caller is told when the round ends.
      result.catch(() => undefined);
      inLine.set(item, result);
    };
    const together: Item[] = [];
    for (const item of items) {
      if (this.#lines.has(targetOf(item))) lineUp(item);
      else together.push(item);
    }
    const results: Results<Item, Result> = new Map();
    try {
      if (together.length > 0) await this.#options.write(together, results, SOON);
    } catch (error) {
      if (!isLockNotAvailable(error)) throw error;
      for (const item of together) if (!results.has(item)) lineUp(item);
    }
    return items.map((item) => inLine.get(item) ?? resultOf(item, results));
  }

  async #writeLine(items: readonly Item[]): Promise<(Result | Error)[]> {
    const { waits, write } = this.#options;
    const results: Results<Item, Result> = new Map();
    await waits.run(async (lockTimeout) => {
      const left = items.filter((item) => !results.has(item));
      await write(left, results, lockTimeout);
    });
    return items.map((item) => resultOf(item, results));
  }
}

export function resultOf<Item, Result>(item: Item, results: Results<Item, Result>): Result | Error {
  return results.get(item) ?? new Error("an item was lost from its round");
}

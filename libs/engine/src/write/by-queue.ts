import { GroupCommit, tooMuchWaiting, type GroupCommitOptions } from "./group-commit.ts";

interface Line<Item, Result> {
  commits: GroupCommit<Item, Result>;
  /** Calls that are waiting or being written. */
  calls: number;
}

/** Merges concurrent calls for the same queue, as GroupCommit does; a queue waits for no other. */
export class ByQueue<Item, Result> {
  readonly #options: GroupCommitOptions<Item, Result>;
  readonly #lines = new Map<string, Line<Item, Result>>();
  /** Of all queues, with what is being written. */
  #weight = 0;

  constructor(options: GroupCommitOptions<Item, Result>) {
    this.#options = options;
  }

  /** Whether something of this queue is waiting or being written. */
  has(queueId: string): boolean {
    return this.#lines.has(queueId);
  }

  /**
   * @throws {SluiceError} `too_many_requests` when too much of all queues is waiting already, or what the round failed
   * with.
   */
  async add(queueId: string, item: Item): Promise<Result> {
    const weight = this.#options.weigh(item);
    if (this.#weight > 0 && this.#weight + weight > this.#options.maxWaiting)
      throw tooMuchWaiting();
    const line = this.#lines.get(queueId) ?? { commits: new GroupCommit(this.#options), calls: 0 };
    this.#lines.set(queueId, line);
    line.calls += 1;
    this.#weight += weight;
    try {
      return await line.commits.add(item);
    } finally {
      this.#weight -= weight;
      line.calls -= 1;
      if (line.calls === 0) this.#lines.delete(queueId);
    }
  }

  /** Resolves when nothing is waiting or being written. */
  async idle(): Promise<void> {
    await Promise.all([...this.#lines.values()].map(({ commits }) => commits.idle()));
  }
}

import { LRUCache } from "lru-cache";

/** How long a batch that failed is left alone, in ms: the first time, and at most. */
const FIRST_PAUSE = 2_000;
const LONGEST_PAUSE = 60_000;
/** Of more than that the sweeper meets the oldest ones again. */
const MAX_BATCHES = 10_000;

/**
 * Batches that could not be fanned out by themselves: left out of what goes together with others, and tried again one
 * at a time, after a pause that doubles. They stay in the outbox, so whoever starts next finds out anew.
 */
export class PutAside {
  readonly #batches = new LRUCache<string, { failures: number; until: number }>({
    max: MAX_BATCHES,
  });

  get batchIds(): string[] {
    return [...this.#batches.keys()];
  }

  /** On another server these ids may stand for other batches. */
  forget(): void {
    this.#batches.clear();
  }

  /** Returns for how long, in ms. */
  add(batchId: string): number {
    const { failures } = this.#batches.peek(batchId) ?? { failures: 0 };
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures);
    this.#batches.set(batchId, { failures: failures + 1, until: performance.now() + pause });
    return pause;
  }

  /** One whose pause is over; it is no longer put aside unless the call does that again. */
  async retry<Result>(call: (batchId: string) => Promise<Result>): Promise<Result | undefined> {
    const [first] = [...this.#batches].sort(([, a], [, b]) => a.until - b.until);
    if (!first || first[1].until > performance.now()) return undefined;
    const [batchId, entry] = first;
    const result = await call(batchId);
    if (this.#batches.peek(batchId) === entry) this.#batches.delete(batchId);
    return result;
  }
}

import { isLockNotAvailable } from "@sluice/database";
import { LRUCache } from "lru-cache";

import type { Era } from "./era.ts";
import { evaluateAlike } from "./evaluate-batches.ts";
import type { FanOutContext } from "./fan-out.ts";
import { findOrdered, takeOrdered } from "./take-ordered.ts";

/**
 * Transactions in a row that find other subscriptions than those prepared for, before the topic is left to the sweeper.
 */
const MAX_ATTEMPTS = 5;
const MAX_TOPICS = 20_000;

/**
 * Fans out FIFO topics, each by itself and from its first waiting batch on, whichever batches were announced: so an
 * announcement that is lost, doubled or late changes nothing about the order.
 */
export class OrderedFanOut {
  readonly #context: FanOutContext;
  readonly #running = new Map<string, { again: boolean; ended: Promise<number> }>();
  /** Up to where topics are fanned out, as far as this process did it; see findOrdered. */
  #done = new LRUCache<string, string>({ max: MAX_TOPICS });

  constructor(context: FanOutContext) {
    this.#context = context;
  }

  /** Another server may be not as far. What is being fanned out by this one is not remembered. */
  forget(): void {
    this.#done = new LRUCache({ max: MAX_TOPICS });
  }

  /** Fans out all that waits of a topic. Resolves to how many batches that were; never rejects. */
  fanOut(topicId: string): Promise<number> {
    const running = this.#running.get(topicId);
    if (running) {
      running.again = true;
      return running.ended;
    }
    const run = { again: false, ended: Promise.resolve(0) };
    run.ended = this.#run(topicId, run).finally(() => this.#running.delete(topicId));
    this.#running.set(topicId, run);
    return run.ended;
  }

  /** Resolves when nothing is being fanned out. */
  async idle(): Promise<void> {
    while (this.#running.size > 0)
      await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  async #run(topicId: string, run: { again: boolean }): Promise<number> {
    const { era } = this.#context;
    let total = 0;
    try {
      do {
        run.again = false;
        total += await this.#untilEmpty(topicId, era);
      } while (run.again && !era.signal.aborted);
    } catch (error) {
      // Held by another dispatcher, which may have died: the sweeper comes back to it.
      if (!isLockNotAvailable(error) && !era.signal.aborted)
        this.#context.observer.failed("fan-out", error);
    }
    return total;
  }

  async #untilEmpty(topicId: string, era: Era): Promise<number> {
    const { sql, committed } = this.#context;
    let total = 0;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const done = this.#done;
      const found = await findOrdered(sql, topicId, done.get(topicId) ?? "0");
      if (!found) return total;
      const masks = await evaluateAlike(
        { ...this.#context, era },
        found.batches.map(({ batchId }) => batchId),
        found.filterIds,
      );
      era.throwIfForgotten();
      const batches = found.batches.slice(0, masks.length);
      const taken = await takeOrdered(sql, { ...found, batches }, masks.flat());
      committed(taken);
      total += taken.batches;
      if (taken.batches === 0) continue;
      attempt = -1;
      const last = batches.at(-1);
      if (last) done.set(topicId, last.sequence);
    }
    return total;
  }
}

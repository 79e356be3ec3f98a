import type { Bus } from "@sluice/bus";
import { isLockNotAvailable, type Sql } from "@sluice/database";

import { Era } from "../fan-out/era.ts";
import { evaluateAlike } from "../fan-out/evaluate-batches.ts";
import { Filters } from "../fan-out/filters.ts";
import { FewAtOnce } from "../few-at-once.ts";
import type { Observer } from "../observer.ts";
import { Payloads } from "../receive/payloads.ts";
import { deliverPage, type DeliverResult } from "./deliver-page.ts";
import { nextPage, runningReplays, type ReplayPage } from "./next-page.ts";

const EVERY_MESSAGE = 9_223_372_036_854_775_807n;
const NOTHING: DeliverResult = { messages: 0, queueIds: [], more: false };

/**
 * Carries replays on, each by itself: one whose filters take long, or whose queue somebody holds, holds up no other
 * while there is a free place. It remembers filters and payloads: a replay bound by its rate looks at the same page
 * again.
 */
export class ReplayDuty {
  readonly #options: { sql: Sql; bus: Bus; observer: Observer };
  readonly #filters: Filters;
  readonly #payloads: Payloads;
  /** By replay; each resolves when it has nothing more to deliver at once, and never rejects. */
  readonly #running = new Map<string, Promise<void>>();
  readonly #steps: FewAtOnce;
  #era = new Era();

  constructor(options: { sql: Sql; bus: Bus; observer: Observer }) {
    this.#options = options;
    // Each has a connection or looks at payloads of up to 8 MiB; fan-outs keep the other half of the connections.
    const running = Math.max(1, Math.floor(options.sql.options.max / 2));
    this.#steps = new FewAtOnce("steps of replays", { running, waiting: Infinity });
    this.#payloads = new Payloads(options.sql, 16 * 1024 * 1024);
    this.#filters = new Filters(options.sql, (error) => {
      options.observer.failed("filter policy", error);
    });
  }

  /**
   * On another server ids of policies and batches may stand for others, also those of the page that is being looked at.
   */
  forget(): void {
    this.#filters.forget();
    this.#payloads.forget();
    this.#era = this.#era.forget();
  }

  /**
   * Goes on with the replays that are under way and have come to rest: a new one, one that its rate has made room for,
   * one that failed or whose queue somebody held for long. Resolves when it has found them; see {@link idle}.
   */
  async runOnce(): Promise<void> {
    const era = this.#era;
    for (const { id, account } of await runningReplays(this.#options.sql)) {
      if (era.signal.aborted) return;
      if (this.#running.has(id)) continue;
      const run = this.#run(id, account, era).finally(() => this.#running.delete(id));
      this.#running.set(id, run);
    }
  }

  /** Resolves when all that it went on with has come to rest. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values());
  }

  /** Resolves when the steps that are under way have been committed; what is being evaluated is left to others. */
  async stop(): Promise<void> {
    this.#era.end();
    await this.idle();
  }

  async #run(id: string, account: string, era: Era): Promise<void> {
    const { bus, observer } = this.#options;
    for (let more = true; more && !era.signal.aborted;) {
      const step = await this.#steps.run(account, () => this.#step(id, era));
      if (step.messages > 0) observer.replayed(step.messages);
      if (step.queueIds.length > 0) bus.signalQueues(step.queueIds);
      more = step.more;
    }
  }

  async #step(id: string, era: Era): Promise<DeliverResult> {
    const { sql, observer } = this.#options;
    // It may have waited for its place.
    if (era.signal.aborted) return NOTHING;
    try {
      const page = await nextPage(sql, id);
      if (page) {
        const masks = await this.#masks(page, era);
        era.throwIfForgotten();
        const batches = page.batches.slice(0, masks.length);
        const last = page.last && batches.length === page.batches.length;
        return await deliverPage(sql, { ...page, batches, last }, masks);
      }
    } catch (error) {
      if (!isLockNotAvailable(error) && !era.signal.aborted) observer.failed("replay", error);
    }
    return NOTHING;
  }

  /** What the filter of the subscription accepts of each batch; of the first ones only where that takes long. */
  async #masks({ filterId, batches }: ReplayPage, era: Era): Promise<bigint[]> {
    if (filterId === null) return batches.map(() => EVERY_MESSAGE);
    const context = {
      filters: this.#filters,
      payloads: this.#payloads,
      observer: this.#options.observer,
      era,
    };
    // A policy that is gone since accepts nothing: the statement finds another one, and does nothing.
    const masks = await evaluateAlike(
      context,
      batches.map(({ batchId }) => batchId),
      [filterId],
    );
    return masks.map(([mask = 0n]) => mask);
  }
}

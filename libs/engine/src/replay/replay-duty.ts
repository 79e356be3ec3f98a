import type { Bus } from "@sluice/bus";
import { isLockNotAvailable, type Sql } from "@sluice/database";

import { Era } from "../fan-out/era.ts";
import { evaluateAlike } from "../fan-out/evaluate-batches.ts";
import { Filters } from "../fan-out/filters.ts";
import type { Observer } from "../observer.ts";
import { Payloads } from "../receive/payloads.ts";
import { deliverPage, type DeliverResult } from "./deliver-page.ts";
import { nextPage, runningReplays, type ReplayPage } from "./next-page.ts";

const EVERY_MESSAGE = 9_223_372_036_854_775_807n;

/** Carries replays on. It remembers filters and payloads: a replay bound by its rate looks at the same page again. */
export class ReplayDuty {
  readonly #options: { sql: Sql; bus: Bus; observer: Observer };
  readonly #filters: Filters;
  readonly #payloads: Payloads;
  #era = new Era();

  constructor(options: { sql: Sql; bus: Bus; observer: Observer }) {
    this.#options = options;
    this.#payloads = new Payloads(options.sql, 16 * 1024 * 1024);
    this.#filters = new Filters(options.sql, (error) => {
      options.observer.failed("filter policy", error);
    });
  }

  /** On another server ids of policies and batches may stand for others, also those of the page that is being looked at. */
  forget(): void {
    this.#filters.forget();
    this.#payloads.forget();
    this.#era = this.#era.forget();
  }

  /**
   * One step of every replay that is under way; "again" while one of them has more to deliver at once. One that fails, or whose queue
   * somebody holds for long, holds up no other: the next round comes back to it.
   */
  async runOnce(signal: AbortSignal): Promise<"again" | undefined> {
    const { sql, bus, observer } = this.#options;
    let again = false;
    for (const id of await runningReplays(sql)) {
      if (signal.aborted) return undefined;
      const { messages, queueIds, more } = await this.#step(id);
      if (messages > 0) observer.replayed(messages);
      if (queueIds.length > 0) bus.signalQueues(queueIds);
      again ||= more;
    }
    return again ? "again" : undefined;
  }

  async #step(id: string): Promise<DeliverResult> {
    const { sql, observer } = this.#options;
    const era = this.#era;
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
    return { messages: 0, queueIds: [], more: false };
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

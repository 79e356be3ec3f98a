import type { Bus, BusSubscription } from "@sluice/bus";
import type { Sql } from "@sluice/database";
import { failpoint } from "@sluice/runtime";

import type { Observer } from "../observer.ts";
import { Pace } from "../pace.ts";
import { Payloads } from "../receive/payloads.ts";
import { Era } from "./era.ts";
import { fanOut, takeUnfiltered, type FannedOut, type FanOutContext } from "./fan-out.ts";
import { FilteredFanOut } from "./filtered-fan-out.ts";
import { Filters } from "./filters.ts";
import {
  findAhead,
  findForgotten,
  findForgottenOf,
  findForgottenTopics,
  type Forgotten,
} from "./find-forgotten.ts";
import { OrderedFanOut } from "./ordered-fan-out.ts";
import { PutAside } from "./put-aside.ts";

export interface DispatcherOptions {
  sql: Sql;
  bus: Bus;
  observer: Observer;
}

/** Batches fanned out by one statement: enough to share its cost, few enough to commit soon. */
const MAX_SET = 128;
/** A batch this old, in ms, was announced to nobody who acted on it. */
const FORGOTTEN_AFTER = 500;
/** What is older was looked for already, unless its commit took so long; in ms. */
const LOOKED_FOR = 10_000;
/**
 * How often what is older is looked for all the same, in ms, while that costs little: after a time without a dispatcher
 * there is some.
 */
const FULL_EVERY = 900;
/**
 * The same where its topic is busy all the time, in ms: another dispatcher may have it in hand, which would then be
 * done twice.
 */
const FORGOTTEN_WHILE_BUSY_AFTER = 2_000;
/**
 * How long what was announced next waits for filters that are being evaluated, in ms: as long as that costs nobody
 * much, it goes in larger sets.
 */
const ANNOUNCED_PATIENCE = 100;
/** The same for what was forgotten. */
const FORGOTTEN_PATIENCE = 1_000;

/**
 * Turns announcements into fan-outs and tells the API processes which queues have something new. Any number of
 * dispatchers may run: each batch is fanned out once, by whoever takes it out of the outbox first.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #fullPace = new Pace(FULL_EVERY, { forgivesOne: true });
  readonly #topicsPace = new Pace(FULL_EVERY, { forgivesOne: true });
  readonly #busyPace = new Pace(FULL_EVERY, { forgivesOne: true });
  readonly #context: FanOutContext;
  readonly #filtered: FilteredFanOut;
  readonly #ordered: OrderedFanOut;
  readonly #aside = new PutAside();
  /** When the last look for what was forgotten began that did not fail, by the clock of this process in ms. */
  #lookedAt = performance.now();
  #announcements: BusSubscription | undefined;
  #era = new Era();

  constructor(options: DispatcherOptions) {
    const { sql, bus, observer } = options;
    this.#options = options;
    const era = () => this.#era;
    this.#context = {
      sql,
      observer,
      payloads: new Payloads(sql),
      filters: new Filters(sql, (error) => {
        observer.failed("filter policy", error);
      }),
      get era() {
        return era();
      },
      committed: ({ batches, deliveries, queueIds }) => {
        if (batches > 0) failpoint("fan-out.committed");
        if (queueIds.length > 0) bus.signalQueues(queueIds);
        if (batches > 0) observer.fannedOut(batches, deliveries);
      },
      failed: (batchId, cause) => {
        const seconds = this.#aside.add(batchId) / 1_000;
        const message = `batch ${batchId} is put aside and tried again by itself in ${seconds} s`;
        observer.failed("fan-out", new Error(message, { cause }));
      },
    };
    this.#filtered = new FilteredFanOut(this.#context);
    this.#ordered = new OrderedFanOut(this.#context);
  }

  async start(): Promise<void> {
    this.#announcements = await this.#options.bus.takeBatches(
      async (batchIds) => {
        try {
          failpoint("fan-out.announced");
          const { fifoTopicIds } = await this.#fanOut(batchIds, ANNOUNCED_PATIENCE);
          // Not waited for: a topic that somebody holds up holds up no other.
          for (const topicId of fifoTopicIds) void this.#ordered.fanOut(topicId);
        } catch (error) {
          // The batches are still in the outbox; the sweeper takes them up.
          this.#options.observer.failed("fan-out", error);
        }
      },
      { maxBatches: MAX_SET },
    );
  }

  /** The database may be another one. */
  forget(): void {
    this.#context.payloads.forget();
    this.#context.filters.forget();
    this.#aside.forget();
    this.#era = this.#era.forget();
    this.#filtered.forget();
    this.#ordered.forget();
  }

  /** Resolves when the fan-out that was running has committed; what takes long is left to others. */
  async stop(): Promise<void> {
    await this.#announcements?.stop();
    this.#era.end();
    await Promise.all([this.#filtered.idle(), this.#ordered.idle()]);
  }

  /** Fans out whatever was forgotten of FIFO topics; see {@link sweep}. */
  async sweepOrdered(): Promise<void> {
    if (!this.#topicsPace.isDue) return;
    const { sql } = this.#options;
    const topicIds = await this.#topicsPace.run(() => findForgottenTopics(sql, FORGOTTEN_AFTER));
    // Not waited for: a topic that takes long holds up no other.
    for (const topicId of topicIds) void this.#ordered.fanOut(topicId);
  }

  /**
   * Fans out whatever was forgotten, but for FIFO topics: lost announcements, and those that a dead dispatcher had
   * taken. It does not end while there is more to do than it manages.
   */
  async sweep(signal?: AbortSignal): Promise<void> {
    for (;;) {
      const forgotten = await this.#findForgotten();
      if (forgotten.length === 0) return;
      const { batches } = await this.#fanOut(forgotten, FORGOTTEN_PATIENCE);
      // None taken: another dispatcher has them in hand, or their filters take long.
      if (batches === 0 || signal?.aborted) return;
    }
  }

  /** Tries one of the batches that were put aside again; "again" when that went well. */
  async retry(): Promise<"again" | undefined> {
    const fannedOut = await this.#aside.retry((batchId) => fanOut(this.#context, [batchId]));
    return fannedOut && fannedOut.batches > 0 ? "again" : undefined;
  }

  async #fanOut(batchIds: readonly string[], patience: number): Promise<FannedOut> {
    const { batches, left, fifoTopicIds } = await takeUnfiltered(this.#context, batchIds);
    const filtered = await this.#filtered.fanOut(left, patience);
    return { batches: batches + filtered, fifoTopicIds };
  }

  async #findForgotten(): Promise<string[]> {
    return [...(await this.#findForgottenWhileBusy()), ...(await this.#findForgottenByAge())];
  }

  /**
   * Of topics whose filters take long: what they have in hand never ends while more is announced, so what was not
   * announced would wait for as long.
   */
  async #findForgottenWhileBusy(): Promise<string[]> {
    if (!this.#busyPace.isDue) return [];
    const { topicIds, batchIds } = this.#filtered.known(FORGOTTEN_PATIENCE);
    if (topicIds.length === 0) return [];
    const except = [...batchIds, ...this.#aside.batchIds];
    const olderThan = FORGOTTEN_WHILE_BUSY_AFTER;
    const { sql } = this.#options;
    return await this.#busyPace.run(() =>
      findForgottenOf(sql, { topicIds, olderThan, except, limit: MAX_SET }),
    );
  }

  /**
   * Of all others: of the last seconds; and what is older, or ahead of the clock, at the first look and then as often
   * as it costs little, however much is new.
   */
  async #findForgottenByAge(): Promise<string[]> {
    const except = this.#aside.batchIds;
    const exceptTopics = this.#filtered.busyFor(FORGOTTEN_PATIENCE);
    const { sql } = this.#options;
    const which = { except, exceptTopics, limit: MAX_SET };
    const find = (ages: Pick<Forgotten, "olderThan" | "youngerThan">) =>
      findForgotten(sql, { ...ages, ...which });
    const now = performance.now();
    // Also what has passed that age since: a look for all that is older may take long, and fail.
    const youngerThan = LOOKED_FOR + now - this.#lookedAt;
    const lately = await find({ olderThan: FORGOTTEN_AFTER, youngerThan });
    let older: string[] = [];
    if (this.#fullPace.isDue) {
      older = await this.#fullPace.run(async () => [
        ...(await find({ olderThan: youngerThan, youngerThan: undefined })),
        ...(await findAhead(sql, which)),
      ]);
      // More of that age may wait.
      if (older.length > 0) this.#fullPace.reset();
    }
    this.#lookedAt = now;
    return [...older, ...lately];
  }
}

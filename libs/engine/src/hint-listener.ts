import type { Bus, BusSubscription, Change } from "@sluice/bus";
import type { Database } from "@sluice/database";

import type { Directory } from "./directory/directory.ts";
import type { Observer } from "./observer.ts";
import type { Queue } from "./queues/queue-rows.ts";
import type { Queues } from "./queues/queues.ts";
import type { Payloads } from "./receive/payloads.ts";
import type { Receiver } from "./receive/receive.ts";
import type { Topic } from "./topics/topics.ts";
import type { BatchIds } from "./write/batch-ids.ts";

export interface HintListenerOptions {
  database: Database;
  bus: Bus;
  observer: Observer;
  queues: Queues;
  topicDirectory: Directory<Topic>;
  queueDirectory: Directory<Queue>;
  payloads: Payloads;
  batchIds: BatchIds;
  receiver: Receiver;
}

/**
 * Wakes the receives of this process when their queues have something, and keeps what it remembers of topics, queues
 * and batches true to what others change, or to another database.
 */
export class HintListener {
  readonly #options: HintListenerOptions;
  #subscriptions: BusSubscription[] = [];
  #stopWatching: () => void = () => undefined;

  constructor(options: HintListenerOptions) {
    this.#options = options;
  }

  /** Resolves when what is told from now on arrives. */
  async start(): Promise<void> {
    const { database, bus, receiver, topicDirectory, queueDirectory } = this.#options;
    this.#stopWatching = database.onLoss(() => {
      this.#forgetAll();
    });
    this.#subscriptions = [
      await bus.onQueues((queueIds) => {
        receiver.signal(queueIds);
      }),
      await bus.onChange((change) => {
        this.#forget(change);
      }),
      bus.onGap(() => {
        topicDirectory.forgetAll();
        queueDirectory.forgetAll();
        receiver.signalAll();
      }),
    ];
  }

  /** Tells this and all other processes that a topic or queue is not what it was. */
  changed(change: Change): void {
    this.#forget(change);
    this.#options.bus.invalidate(change);
  }

  async stop(): Promise<void> {
    this.#stopWatching();
    await Promise.all(this.#subscriptions.map((subscription) => subscription.stop()));
  }

  /** Whatever it was that is known by an id or a time of the server: the next one may be another. */
  #forgetAll(): void {
    const { payloads, batchIds, topicDirectory, queueDirectory, receiver } = this.#options;
    payloads.forget();
    batchIds.forget();
    topicDirectory.forgetAll();
    queueDirectory.forgetAll();
    receiver.forget();
  }

  #forget({ kind, account, name }: Change): void {
    const { topicDirectory, queueDirectory, receiver } = this.#options;
    if (kind === "topic") topicDirectory.forget(account, name);
    if (kind !== "queue") return;
    queueDirectory.forget(account, name);
    receiver.queueChanged(account, name);
    if (receiver.isWaitedFor(account, name)) void this.#endWaitingIfDeleted(account, name);
  }

  async #endWaitingIfDeleted(account: string, name: string): Promise<void> {
    const { queues, receiver, observer } = this.#options;
    try {
      const queue = await queues.find(account, name);
      receiver.queueIsNow(account, name, queue?.id);
    } catch (error) {
      // Whoever waits for it waits in vain until its wait is over.
      observer.failed("cache invalidation", error);
    }
  }
}

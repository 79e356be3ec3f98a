import { classifyFailure } from "@sluice/database";

import { queueNotFound, topicNotFound } from "../errors.ts";
import type { Queues } from "../queues/queues.ts";
import { replayFromStart } from "../replay/insert-replay.ts";
import type { ReplayPoint } from "../replay/replay-range.ts";
import type { Replays } from "../replay/replays.ts";
import type { Topics } from "../topics/topics.ts";
import type { Subscription } from "./subscription-rows.ts";
import type { SubscriptionSettings } from "./subscription-settings.ts";
import type { Subscriptions } from "./subscriptions.ts";

export interface NewSubscription extends Partial<SubscriptionSettings> {
  /** Where a replay of the archive begins that the subscription begins with. */
  replayFrom?: ReplayPoint | undefined;
  /** The last message of that replay; default: everything up to the subscription. */
  replayTo?: ReplayPoint | undefined;
}

export interface SubscriberOptions {
  topics: Topics;
  queues: Queues;
  subscriptions: Subscriptions;
  replays: Replays;
}

/** Subscribes queues to topics, by their names. */
export class Subscriber {
  readonly #options: SubscriberOptions;

  constructor(options: SubscriberOptions) {
    this.#options = options;
  }

  /**
   * Subscribes a queue to a topic: every publish that begins after this resolves reaches the queue, if its filter
   * accepts it. With `replayFrom` a new subscription also gets what the archive has from there on: each message once,
   * live or replayed.
   * @throws {SluiceError} `topic_not_found`, `queue_not_found`, `subscription_exists`, `invalid_filter_policy`;
   * `invalid_request` for a FIFO queue and a standard topic; `topic_not_archived`, `message_not_found` when it is to be
   * replayed
   */
  async subscribe(
    account: string,
    topicName: string,
    queueName: string,
    { replayFrom, replayTo, ...settings }: NewSubscription = {},
  ): Promise<{ subscription: Subscription; created: boolean }> {
    const { topics, queues, subscriptions, replays } = this.#options;
    const [topic, queue] = await Promise.all([
      topics.find(account, topicName),
      queues.find(account, queueName),
    ]);
    if (!topic) throw topicNotFound(topicName);
    if (!queue) throw queueNotFound(queueName);
    const range = replayFrom && (await replays.rangeOf(topic, { from: replayFrom, to: replayTo }));
    try {
      return await subscriptions.create(
        account,
        { topic, queue },
        settings,
        range && ((tx, id) => replayFromStart(tx, { id, account }, { topic, range })),
      );
    } catch (error) {
      if (classifyFailure(error) !== "missing-reference") throw error;
      // Topic, queue, dead-letter queue or policy was deleted since we found it; who has its name now, if anybody?
      const again = { ...settings, replayFrom, replayTo };
      return await this.subscribe(account, topicName, queueName, again);
    }
  }
}

import type { Connection } from "../connection.ts";
import { queueName } from "../declarations.ts";
import type { QueueReference, TopicReference } from "../declarations.ts";
import { pages } from "./pages.ts";
import type { ListOptions } from "./pages.ts";
import { remove } from "./remove.ts";
import { topicPath } from "./topics.ts";

export interface SubscriptionInfo {
  readonly id: string;
  readonly topic: string;
  readonly queue: string;
  readonly createdAt: Date;
}

export interface SubscriptionListOptions extends Omit<ListOptions, "prefix"> {
  /** Only this topic's subscriptions. */
  readonly topic?: TopicReference;
}

/** Creates, reads and removes subscriptions. */
export class SubscriptionAdmin {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Feeds the queue with what is published to the topic from now on, or returns the subscription that already does.
   *
   * Throws `topic_not_found`, `queue_not_found` and `subscription_exists` (with other settings).
   */
  async create(topic: TopicReference, queue: QueueReference): Promise<SubscriptionInfo> {
    const path = `${topicPath(topic)}/subscriptions`;
    const body = { queue: queueName(queue) };
    return subscriptionInfo(
      await this.#connection.request({ method: "POST", path, body, retry: true }),
    );
  }

  /** Throws `subscription_not_found`. */
  async get(id: string): Promise<SubscriptionInfo> {
    return subscriptionInfo(
      await this.#connection.request({ method: "GET", path: subscriptionPath(id) }),
    );
  }

  /** Iterates over all subscriptions, or those of one topic, page by page. Throws `topic_not_found`. */
  list(options: SubscriptionListOptions = {}): AsyncIterableIterator<SubscriptionInfo> {
    const path =
      options.topic === undefined
        ? "/v1/subscriptions"
        : `${topicPath(options.topic)}/subscriptions`;
    return pages(this.#connection, {
      path,
      field: "subscriptions",
      options,
      read: subscriptionInfo,
    });
  }

  /** Ends the subscription; what it has delivered stays in the queue. Throws `subscription_not_found`. */
  delete(id: string): Promise<void> {
    return remove(this.#connection, subscriptionPath(id));
  }
}

function subscriptionPath(id: string): string {
  return `/v1/subscriptions/${encodeURIComponent(id)}`;
}

function subscriptionInfo(wire: unknown): SubscriptionInfo {
  const subscription = wire as Omit<SubscriptionInfo, "createdAt"> & { createdAt: string };
  return { ...subscription, createdAt: new Date(subscription.createdAt) };
}

import { assertConnection } from "../connection.ts";
import type { Connection } from "../connection.ts";
import type { QueueReference, TopicDeclaration, TopicReference } from "../declarations.ts";
import type { AdminCallOptions } from "./call-options.ts";
import type { CheckedIn, FilterPolicy } from "./filter-policy.ts";
import { MessageAdmin } from "./messages.ts";
import { QueueAdmin } from "./queues.ts";
import { SubscriptionAdmin } from "./subscriptions.ts";
import type {
  EnvelopedSettings,
  FedQueue,
  NewSubscriptionSettings,
  SubscriptionInfo,
} from "./subscriptions.ts";
import { TopicAdmin } from "./topics.ts";

/** Creates, reads, changes and deletes topics, queues and subscriptions, and tells what became of messages. */
export class Admin {
  /** Creates, reads, changes and deletes topics. */
  readonly topics: TopicAdmin;
  /** Creates, reads, changes and deletes queues, and looks after what is in them; `redrives` moves dead letters. */
  readonly queues: QueueAdmin;
  /** Says which queue gets what of which topic, and tries messages on it; `replays` delivers archives again. */
  readonly subscriptions: SubscriptionAdmin;
  /** Tells what became of messages. */
  readonly messages: MessageAdmin;

  constructor(connection: Connection) {
    assertConnection(connection);
    this.topics = new TopicAdmin(connection);
    this.queues = new QueueAdmin(connection);
    this.subscriptions = new SubscriptionAdmin(connection);
    this.messages = new MessageAdmin(connection);
  }

  /** Feeds the queue with the topic: short for `subscriptions.create(topic, queue, settings, call)`. */
  subscribe<Input = never, const Policy extends FilterPolicy = FilterPolicy>(
    topic: string | TopicDeclaration<Input, unknown>,
    queue: FedQueue<NoInfer<Input>>,
    settings?: CheckedIn<NewSubscriptionSettings<Policy>, Policy>,
    call?: AdminCallOptions,
  ): Promise<SubscriptionInfo>;
  subscribe<const Policy extends FilterPolicy = FilterPolicy>(
    topic: TopicReference,
    queue: QueueReference,
    settings: CheckedIn<EnvelopedSettings<Policy>, Policy>,
    call?: AdminCallOptions,
  ): Promise<SubscriptionInfo>;
  subscribe(
    topic: TopicReference,
    queue: QueueReference,
    settings: NewSubscriptionSettings = {},
    call: AdminCallOptions = {},
  ): Promise<SubscriptionInfo> {
    return this.subscriptions.create(topic, queue, settings, call);
  }
}

/**
 * Makes the client that manages topics, queues and subscriptions.
 *
 * @example
 * ```ts
 * const admin = createAdmin(connection);
 * await admin.topics.create(orders);
 * await admin.queues.create(billing, { visibilityTimeout: 60 });
 * await admin.subscribe(orders, billing);
 * for await (const { name } of admin.queues.list({ prefix: "bill" })) console.log(name);
 * ```
 */
export function createAdmin(connection: Connection): Admin {
  return new Admin(connection);
}

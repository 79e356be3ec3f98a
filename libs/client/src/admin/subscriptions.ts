import { encodeAttributes } from "../attributes.ts";
import type { AttributesInput } from "../attributes.ts";
import type { Connection } from "../connection.ts";
import { queueName } from "../declarations.ts";
import type {
  QueueDeclaration,
  QueueReference,
  TopicDeclaration,
  TopicReference,
} from "../declarations.ts";
import type { OptionNames } from "../options.ts";
import { callOf } from "./call-options.ts";
import type { AdminCallOptions, Call } from "./call-options.ts";
import { ensure } from "./ensure.ts";
import type { CheckedIn, FilterPolicy } from "./filter-policy.ts";
import { pages } from "./pages.ts";
import type { ListOptions } from "./pages.ts";
import { subscriptionPath } from "./paths.ts";
import { replayPoint, ReplayAdmin } from "./replays.ts";
import type { ReplayPoint } from "./replays.ts";
import { remove } from "./remove.ts";
import { topicPath } from "./topics.ts";

/** Where a subscription delivers while its queue is deleted. */
export interface SubscriptionRedrivePolicy {
  /** The name of a queue that is there. */
  readonly deadLetterQueue: string;
}

/** What can be set on a subscription and changed later. */
export interface SubscriptionSettings<Policy extends FilterPolicy = FilterPolicy> {
  /** Which messages the queue gets; null for all, which is the default. */
  readonly filterPolicy?: Policy | null;
  /** What the policy looks at: the attributes, which is the default, or the body, a JSON object. */
  readonly filterPolicyScope?: "MessageAttributes" | "MessageBody";
  /** False puts each message inside the JSON of an SNS notification. Default true. */
  readonly rawDelivery?: boolean;
  /** Null, which is the default: the subscription ends with its queue. */
  readonly redrivePolicy?: SubscriptionRedrivePolicy | null;
}

/** Settings of a new subscription: those that can be changed later, and where it begins. */
export interface NewSubscriptionSettings<
  Policy extends FilterPolicy = FilterPolicy,
> extends SubscriptionSettings<Policy> {
  /** Also delivers what the archive of the topic has from there on: each message once, replayed or live. */
  readonly replayFrom?: ReplayPoint;
}

/** With these a queue gets notifications, whatever its topic carries. */
export interface EnvelopedSettings<
  Policy extends FilterPolicy = FilterPolicy,
> extends NewSubscriptionSettings<Policy> {
  readonly rawDelivery: false;
}

/** A queue whose messages can be what a topic takes, one that takes bodies as text, or just a name. */
export type FedQueue<Input> =
  string | QueueDeclaration<Input, unknown> | QueueDeclaration<string, string>;

/** A subscription with all its settings, also those that nobody has named. */
export interface SubscriptionInfo {
  readonly id: string;
  /** Name of the topic. */
  readonly topic: string;
  /** Name of the queue. */
  readonly queue: string;
  /** Whether the queue was deleted; deliveries go to the dead-letter queue until there is one of its name again. */
  readonly queueDeleted: boolean;
  /** Which messages the queue gets; null: all. */
  readonly filterPolicy: FilterPolicy | null;
  /** What the policy looks at. */
  readonly filterPolicyScope: "MessageAttributes" | "MessageBody";
  /** False: each message comes inside the JSON of an SNS notification. */
  readonly rawDelivery: boolean;
  /** Where it delivers while its queue is deleted; null: the subscription ends with its queue. */
  readonly redrivePolicy: SubscriptionRedrivePolicy | null;
  readonly createdAt: Date;
}

/** Which subscriptions a list shows, and how it is asked for. */
export interface SubscriptionListOptions extends Omit<ListOptions, "prefix"> {
  /** Only this topic's subscriptions. */
  readonly topic?: TopicReference;
}

const subscriptionListOptions: OptionNames<SubscriptionListOptions> = {
  topic: true,
  pageSize: true,
  signal: true,
};

/** A message to try; the body as it would be published. */
export interface MatchInput {
  /** The text of the message; JSON where a policy on bodies is to be tried, as `JSON.stringify(payload)` makes it. */
  readonly body: string;
  /** As a publish takes them. Default: none. */
  readonly attributes?: AttributesInput;
}

/** Whether a subscription would get a message. */
export interface MatchInfo {
  /** The subscription's id. */
  readonly subscription: string;
  /** Name of the queue that the subscription feeds. */
  readonly queue: string;
  /** Whether the queue would get the message. */
  readonly matches: boolean;
  /** The clause of the filter policy that refuses the message. */
  readonly refusal?: { readonly path: string; readonly message: string };
}

/** An archived message with what its topic's subscriptions would make of it now. */
export interface ArchivedMatchInfo {
  readonly messageId: string;
  readonly publishedAt: Date;
  /** One a subscription. */
  readonly matches: readonly MatchInfo[];
}

interface ArchivedMatchesWire {
  messageId: string;
  publishedAt: string;
  matches: MatchInfo[];
}

/** What the answer of a subscription has. */
const field = "createdAt";

/** Subscriptions that a message is tried on. */
const MAX_MATCHED = 1_000;

/** Creates, reads, changes and removes subscriptions. */
export class SubscriptionAdmin {
  readonly #connection: Connection;
  /** Replays of a topic's archive to a subscription. */
  readonly replays: ReplayAdmin;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.replays = new ReplayAdmin(connection);
  }

  /**
   * Feeds the queue with what is published to the topic from now on, or returns the subscription that already does.
   *
   * In TypeScript a queue that is declared for other messages than its topic does not compile; by its name it does.
   * Throws `topic_not_found`, `queue_not_found`, `invalid_filter_policy` and `subscription_exists` (with other
   * settings).
   */
  create<Input = never, const Policy extends FilterPolicy = FilterPolicy>(
    topic: string | TopicDeclaration<Input, unknown>,
    queue: FedQueue<NoInfer<Input>>,
    settings?: CheckedIn<NewSubscriptionSettings<Policy>, Policy>,
    call?: AdminCallOptions,
  ): Promise<SubscriptionInfo>;
  create<const Policy extends FilterPolicy = FilterPolicy>(
    topic: TopicReference,
    queue: QueueReference,
    settings: CheckedIn<EnvelopedSettings<Policy>, Policy>,
    call?: AdminCallOptions,
  ): Promise<SubscriptionInfo>;
  async create(
    topic: TopicReference,
    queue: QueueReference,
    settings: NewSubscriptionSettings = {},
    call: AdminCallOptions = {},
  ): Promise<SubscriptionInfo> {
    return await this.#create(topic, queue, settings, callOf("admin.subscriptions.create", call));
  }

  /**
   * Feeds the queue with what is published to the topic, or gives a subscription that already does the settings that
   * are named, and leaves its others: for programs that do so each time they start, also when a setting has changed
   * since. `replayFrom` counts for a new one only. Throws `topic_not_found`, `queue_not_found`,
   * `invalid_filter_policy`, and for a new one `topic_not_archived`, and `message_not_found` when it is to begin with a
   * message that is not in the archive.
   *
   * @example
   * ```ts
   * await admin.subscriptions.ensure("orders", "large-orders", {
   *   filterPolicy: { total: [{ numeric: [">=", 1_000] }] },
   * });
   * ```
   */
  ensure<Input = never, const Policy extends FilterPolicy = FilterPolicy>(
    topic: string | TopicDeclaration<Input, unknown>,
    queue: FedQueue<NoInfer<Input>>,
    settings?: CheckedIn<NewSubscriptionSettings<Policy>, Policy>,
    call?: AdminCallOptions,
  ): Promise<SubscriptionInfo>;
  ensure<const Policy extends FilterPolicy = FilterPolicy>(
    topic: TopicReference,
    queue: QueueReference,
    settings: CheckedIn<EnvelopedSettings<Policy>, Policy>,
    call?: AdminCallOptions,
  ): Promise<SubscriptionInfo>;
  async ensure(
    topic: TopicReference,
    queue: QueueReference,
    settings: NewSubscriptionSettings = {},
    call: AdminCallOptions = {},
  ): Promise<SubscriptionInfo> {
    const made = callOf("admin.subscriptions.ensure", call);
    // Those of another subscription have its queue with them, which is nothing to change.
    const {
      replayFrom: _1,
      queue: _2,
      ...changeable
    } = settings as NewSubscriptionSettings & {
      queue?: string;
    };
    const get = () => this.#find(topic, queue, made);
    return await ensure<SubscriptionInfo>({
      given: changeable,
      exists: "subscription_exists",
      // A policy is for the scope of the subscription, and where a new one begins is nothing to one that is there.
      unfit: ["invalid_filter_policy", "topic_not_archived", "message_not_found"],
      create: () => this.#create(topic, queue, settings, made),
      missing: "subscription_not_found",
      get,
      update: async (existing) => {
        const { id } = existing ?? (await get()) ?? {};
        return id === undefined ? undefined : await this.#update(id, changeable, made);
      },
    });
  }

  async #create(
    topic: TopicReference,
    queue: QueueReference,
    { replayFrom, ...settings }: NewSubscriptionSettings,
    made: Call,
  ): Promise<SubscriptionInfo> {
    const path = `${topicPath(topic)}/subscriptions`;
    const body = {
      ...settings,
      ...(replayFrom !== undefined && { replayFrom: replayPoint(replayFrom, "replayFrom") }),
      // Last: settings may be those of another subscription, with the queue of that.
      queue: queueName(queue),
    };
    return subscriptionInfo(
      await this.#connection.request({ method: "POST", path, body, field, retry: true, ...made }),
    );
  }

  /** That of a queue to a topic. */
  async #find(
    topic: TopicReference,
    queue: QueueReference,
    { call, signal }: Call,
  ): Promise<SubscriptionInfo | undefined> {
    const name = queueName(queue);
    const options = { topic, ...(signal !== undefined && { signal }) };
    for await (const subscription of this.#list(options, call))
      if (subscription.queue === name) return subscription;
    return undefined;
  }

  /** Throws `subscription_not_found`. */
  async get(id: string, call: AdminCallOptions = {}): Promise<SubscriptionInfo> {
    const made = callOf("admin.subscriptions.get", call);
    const path = subscriptionPath(id);
    return subscriptionInfo(
      await this.#connection.request({ method: "GET", path, field, ...made }),
    );
  }

  /** Iterates over all subscriptions, or those of one topic, page by page. Throws `topic_not_found`. */
  list(options: SubscriptionListOptions = {}): AsyncIterableIterator<SubscriptionInfo> {
    return this.#list(options, "admin.subscriptions.list");
  }

  #list(options: SubscriptionListOptions, call: string): AsyncIterableIterator<SubscriptionInfo> {
    const path =
      options.topic === undefined
        ? "/v1/subscriptions"
        : `${topicPath(options.topic)}/subscriptions`;
    return pages(this.#connection, {
      call,
      path,
      field: "subscriptions",
      options,
      known: subscriptionListOptions,
      read: subscriptionInfo,
    });
  }

  /**
   * Changes the given settings and leaves the others; null clears. Counts for what is published from now on.
   * Throws `subscription_not_found` and `invalid_filter_policy`.
   */
  async update<const Policy extends FilterPolicy = FilterPolicy>(
    id: string,
    settings: CheckedIn<SubscriptionSettings<Policy>, Policy>,
    call: AdminCallOptions = {},
  ): Promise<SubscriptionInfo> {
    return await this.#update(id, settings, callOf("admin.subscriptions.update", call));
  }

  async #update(id: string, settings: SubscriptionSettings, made: Call): Promise<SubscriptionInfo> {
    const request = { path: subscriptionPath(id), body: settings, field, ...made };
    return subscriptionInfo(await this.#connection.request({ method: "PATCH", ...request }));
  }

  /**
   * Tells which of the first 1,000 subscriptions of a topic would get a message, and for the others which clause of
   * their filter policy refuses it. Publishes nothing. Throws `topic_not_found`.
   */
  async match(
    topic: TopicReference,
    { body, attributes = {} }: MatchInput,
    call: AdminCallOptions = {},
  ): Promise<MatchInfo[]> {
    const made = callOf("admin.subscriptions.match", call);
    const request = { message: { body, attributes: encodeAttributes(attributes) } };
    const found: MatchInfo[] = [];
    let cursor: string | undefined;
    do {
      const look = { limit: MAX_MATCHED - found.length, cursor, ...made };
      const page = await this.#match<{ matches: MatchInfo[] }>(topic, look, {
        body: request,
        field: "matches",
      });
      found.push(...page.matches);
      cursor = page.nextCursor;
    } while (cursor !== undefined && found.length < MAX_MATCHED);
    return found;
  }

  /**
   * Tries the newest messages of a topic's archive (`last`: 1 to 100; as far as they have no more than about 4 MiB
   * together), newest first, on its first 1,000 subscriptions. Throws `topic_not_found`, `topic_not_archived`, and
   * `too_many_requests` when that takes too long.
   */
  async matchArchived(
    topic: TopicReference,
    last: number,
    call: AdminCallOptions = {},
  ): Promise<ArchivedMatchInfo[]> {
    const made = callOf("admin.subscriptions.matchArchived", call);
    const found = new Map<string, { publishedAt: Date; matches: MatchInfo[] }>();
    let tried = 0;
    let cursor: string | undefined;
    do {
      const look = { limit: MAX_MATCHED - tried, cursor, ...made };
      const page = await this.#match<{ messages: ArchivedMatchesWire[] }>(topic, look, {
        body: { last },
        field: "messages",
      });
      for (const { messageId, publishedAt, matches } of page.messages) {
        const known = found.get(messageId);
        if (known) known.matches.push(...matches);
        // Published since the first page, it has not been tried on the subscriptions of that.
        else if (tried === 0) found.set(messageId, { publishedAt: new Date(publishedAt), matches });
      }
      const shown = page.messages[0]?.matches.length ?? 0;
      tried += shown;
      cursor = shown === 0 ? undefined : page.nextCursor;
    } while (cursor !== undefined && tried < MAX_MATCHED);
    return [...found].map(([messageId, message]) => ({ messageId, ...message }));
  }

  /** A page: the server ends one that takes it long. */
  async #match<Page>(
    topic: TopicReference,
    { call, signal, ...query }: Call & { limit: number; cursor: string | undefined },
    asked: { body: object; field: keyof Page & string },
  ): Promise<Page & { nextCursor?: string }> {
    const path = `${topicPath(topic)}/match`;
    const page = await this.#connection.request({
      method: "POST",
      path,
      query,
      ...asked,
      retry: true,
      call,
      signal,
    });
    return page as Page & { nextCursor?: string };
  }

  /** Ends the subscription; what it has delivered stays in the queue. Throws `subscription_not_found`. */
  async delete(id: string, call: AdminCallOptions = {}): Promise<void> {
    const made = callOf("admin.subscriptions.delete", call);
    await remove(this.#connection, subscriptionPath(id), made);
  }
}

function subscriptionInfo(wire: unknown): SubscriptionInfo {
  const subscription = wire as Omit<SubscriptionInfo, "createdAt"> & { createdAt: string };
  return { ...subscription, createdAt: new Date(subscription.createdAt) };
}

import type { Connection } from "../connection.ts";
import { topicName } from "../declarations.ts";
import type { TopicReference } from "../declarations.ts";
import { callOf } from "./call-options.ts";
import type { AdminCallOptions, Call } from "./call-options.ts";
import { ensure } from "./ensure.ts";
import { listOptions, pages } from "./pages.ts";
import type { ListOptions } from "./pages.ts";
import { remove } from "./remove.ts";

/** Up to 50; keys up to 128 characters, values up to 256. */
export type Tags = Readonly<Record<string, string>>;

/** A topic with all its settings, also those that nobody has named. */
export interface TopicInfo {
  readonly name: string;
  /**
   * Whether the messages of a group are fanned out in the order in which they were published, and duplicates not at
   * all: its name ends in `.fifo` then.
   */
  readonly fifo: boolean;
  /** FIFO topics: whether a message without a deduplication id gets the SHA-256 of its body. */
  readonly contentBasedDeduplication: boolean;
  /** FIFO topics: within what a deduplication id counts. */
  readonly fifoThroughputScope: "topic" | "messageGroup";
  /** The largest message, body and attributes together, in bytes. */
  readonly maxMessageSize: number;
  readonly tags: Tags;
  /** How long what is published is kept for replays; null: not at all. */
  readonly archive: TopicArchive | null;
  readonly createdAt: Date;
}

/** Keeps what is published, for replays. */
export interface TopicArchive {
  /** 1 to 365. */
  readonly days: number;
}

/** What can be set on a topic and changed later. Whether it is a FIFO topic is said by its name alone. */
export interface TopicSettings {
  /** FIFO topics: a message without a deduplication id gets the SHA-256 of its body. Default false. */
  readonly contentBasedDeduplication?: boolean;
  /** FIFO topics: within what a deduplication id counts. Default `topic`. */
  readonly fifoThroughputScope?: "topic" | "messageGroup";
  /** Bytes of body and attributes, 1,024 to 1,048,576. Default 262,144. */
  readonly maxMessageSize?: number;
  /** Null, which is the default, keeps nothing; it ends an archive for good. */
  readonly archive?: TopicArchive | null;
  /** Up to 50; keys up to 128 characters, values up to 256. */
  readonly tags?: Tags;
}

/** What the answer of a topic has. */
const field = "createdAt";

/** Creates, reads and removes topics. Every method takes a declaration or a name. */
export class TopicAdmin {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Creates the topic (a FIFO topic where its name ends in `.fifo`), or returns it when it exists with the same
   * settings; see {@link ensure} for what gives it others. Throws `topic_exists` when they differ: its `details` tell
   * what each is and what was asked.
   */
  async create(
    topic: TopicReference,
    settings: TopicSettings = {},
    call: AdminCallOptions = {},
  ): Promise<TopicInfo> {
    return await this.#create(topic, settings, callOf("admin.topics.create", call));
  }

  /**
   * Creates the topic, or gives one that exists the settings that are named, and leaves its others: for programs that
   * do so each time they start, also when a setting has changed since. `archive: null` ends an archive for good here
   * too. Throws `invalid_request` for what does not fit the kind of the topic.
   *
   * @example
   * ```ts
   * await admin.topics.ensure("orders", { archive: { days: 7 } });
   * ```
   */
  async ensure(
    topic: TopicReference,
    settings: TopicSettings = {},
    call: AdminCallOptions = {},
  ): Promise<TopicInfo> {
    const made = callOf("admin.topics.ensure", call);
    // Those of another topic have its name and kind with them, which are nothing to change.
    const {
      name: _1,
      fifo: _2,
      ...changeable
    } = settings as TopicSettings & Partial<Pick<TopicInfo, "name" | "fifo">>;
    return await ensure({
      given: changeable,
      exists: "topic_exists",
      create: () => this.#create(topic, settings, made),
      missing: "topic_not_found",
      get: () => this.#get(topic, made),
      update: () => this.#update(topic, changeable, made),
    });
  }

  /** Throws `topic_not_found`. */
  async get(topic: TopicReference, call: AdminCallOptions = {}): Promise<TopicInfo> {
    return await this.#get(topic, callOf("admin.topics.get", call));
  }

  /** Iterates over all topics by name, page by page. */
  list(options: ListOptions = {}): AsyncIterableIterator<TopicInfo> {
    return pages(this.#connection, {
      call: "admin.topics.list",
      path: "/v1/topics",
      field: "topics",
      options,
      known: listOptions,
      read: topicInfo,
    });
  }

  /** Changes the given settings and leaves the others. Throws `topic_not_found`. */
  async update(
    topic: TopicReference,
    settings: TopicSettings,
    call: AdminCallOptions = {},
  ): Promise<TopicInfo> {
    return await this.#update(topic, settings, callOf("admin.topics.update", call));
  }

  /**
   * Deletes the topic and its subscriptions. What was fanned out before stays in the queues; what was published just
   * now and waits for that reaches none. Throws `topic_not_found`.
   */
  async delete(topic: TopicReference, call: AdminCallOptions = {}): Promise<void> {
    await remove(this.#connection, topicPath(topic), callOf("admin.topics.delete", call));
  }

  async #create(topic: TopicReference, settings: TopicSettings, call: Call): Promise<TopicInfo> {
    const name = topicName(topic);
    // The name last: settings may be those of another topic, with the name of that.
    const body = { ...(name.endsWith(".fifo") && { fifo: true }), ...settings, name };
    const path = "/v1/topics";
    return topicInfo(
      await this.#connection.request({ method: "POST", path, body, field, retry: true, ...call }),
    );
  }

  async #get(topic: TopicReference, call: Call): Promise<TopicInfo> {
    const path = topicPath(topic);
    return topicInfo(await this.#connection.request({ method: "GET", path, field, ...call }));
  }

  async #update(topic: TopicReference, body: TopicSettings, call: Call): Promise<TopicInfo> {
    const path = topicPath(topic);
    return topicInfo(
      await this.#connection.request({ method: "PATCH", path, body, field, ...call }),
    );
  }
}

export function topicPath(topic: TopicReference): string {
  return `/v1/topics/${encodeURIComponent(topicName(topic))}`;
}

function topicInfo(wire: unknown): TopicInfo {
  const topic = wire as Omit<TopicInfo, "createdAt"> & { createdAt: string };
  return { ...topic, createdAt: new Date(topic.createdAt) };
}

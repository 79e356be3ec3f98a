import type { Bus, BusSubscription, Change } from "@sluice/bus";
import type { Database } from "@sluice/database";

import { Canceller } from "./cancel/canceller.ts";
import type { Peeked, PeekRequest } from "./peek/peeked.ts";
import { Peeker } from "./peek/peeker.ts";
import { Purger } from "./purge/purger.ts";
import { RedriveTasks } from "./redrive/redrive-tasks.ts";
import { Acknowledger } from "./acknowledge/acknowledge.ts";
import { Directory } from "./directory/directory.ts";
import type { Page } from "./directory/pages.ts";
import { Envelopes, type NotificationOptions } from "./envelope/envelopes.ts";
import { queueNotFound, topicNotFound } from "./errors.ts";
import type { ArchivedMatches, Match, MatchRequest } from "./match/match.ts";
import { Matcher } from "./match/matcher.ts";
import type { MessageInput } from "./message/message.ts";
import type { Observer } from "./observer.ts";
import { Publisher } from "./publish/publish.ts";
import { Queues, type Queue } from "./queues/queues.ts";
import { ReceiptHandles } from "./receipt-handle/receipt-handle.ts";
import { Payloads } from "./receive/payloads.ts";
import { Rounds } from "./rounds/rounds.ts";
import { Receiver } from "./receive/receive.ts";
import { sharedSecret } from "./receipt-handle/shared-secret.ts";
import { Sender } from "./send/send.ts";
import { Subscriber, type NewSubscription } from "./subscriptions/subscriber.ts";
import { Subscriptions, type Subscription } from "./subscriptions/subscriptions.ts";
import type { ReplayRequest } from "./replay/replay-range.ts";
import { Replays, type Replay } from "./replay/replays.ts";
import { Topics, type Topic } from "./topics/topics.ts";
import type { Trace } from "./trace/trace.ts";
import { Tracer } from "./trace/tracer.ts";
import { BatchIds } from "./write/batch-ids.ts";
import { LockWaits } from "./write/lock-waits.ts";
import { VisibilityChanger } from "./visibility/change-visibility.ts";

export interface EngineOptions {
  database: Database;
  bus: Bus;
  observer: Observer;
  /** Seconds for which a thing cannot be done again; default 0, which is never. */
  guards?: { deletedQueueName?: number; purge?: number } | undefined;
  /** What notifications say of this installation; see notificationDefaults. */
  notifications?: Partial<NotificationOptions>;
  /**
   * Most subscriptions of a topic without filters that its publishes fan out themselves; 0 leaves all to the
   * dispatchers.
   */
  directQueues: number;
}

/**
 * Everything an API process does to topics, queues and messages, whatever protocol asks for it.
 *
 * Each verb is one object in a folder of its own, with its SQL beside it; this class only puts them together and keeps
 * their caches true to what other processes change.
 */
export class Engine implements AsyncDisposable {
  readonly topics: Topics;
  readonly queues: Queues;
  readonly subscriptions: Subscriptions;
  readonly topicDirectory: Directory<Topic>;
  readonly queueDirectory: Directory<Queue>;
  readonly publisher: Publisher;
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly acknowledger: Acknowledger;
  readonly visibility: VisibilityChanger;
  readonly redrives: RedriveTasks;
  readonly replays: Replays;
  readonly handles: ReceiptHandles;
  readonly envelopes: Envelopes;
  readonly database: Database;
  readonly bus: Bus;
  readonly #payloads: Payloads;
  readonly #subscriber: Subscriber;
  readonly #matcher: Matcher;
  readonly #purger: Purger;
  readonly #peeker: Peeker;
  readonly #canceller: Canceller;
  readonly #tracer: Tracer;
  readonly #observer: Observer;
  #subscriptions: BusSubscription[] = [];
  readonly #batchIds: BatchIds;
  #stopWatching: () => void = () => undefined;

  private constructor(
    { database, bus, observer, guards, notifications, directQueues }: EngineOptions,
    secret: Uint8Array,
  ) {
    const { sql, control } = database;
    this.envelopes = new Envelopes(sql, notifications);
    this.database = database;
    this.#observer = observer;
    this.bus = bus;
    this.topics = new Topics(control);
    this.queues = new Queues({ control, hot: sql }, guards?.deletedQueueName ?? 0);
    this.subscriptions = new Subscriptions(control);
    this.replays = new Replays({
      control,
      hot: sql,
      topics: this.topics,
      subscriptions: this.subscriptions,
    });
    this.redrives = new RedriveTasks(control, this.queues);
    this.topicDirectory = new Directory({
      find: (account, name) => this.topics.find(account, name),
      notFound: topicNotFound,
    });
    this.queueDirectory = new Directory({
      find: (account, name) => this.queues.find(account, name),
      findAll: (account, names) => this.queues.findAll(account, names),
      notFound: queueNotFound,
      // The handle may be one of a new queue of that name.
      doubts: ["receipt_handle_invalid"],
    });
    const payloads = new Payloads(sql);
    this.#payloads = payloads;
    const batchIds = new BatchIds(sql);
    this.#batchIds = batchIds;
    this.handles = new ReceiptHandles(secret);
    const waits = new LockWaits(sql);
    const rounds = new Rounds({
      sql,
      waits,
      shared: database.shared,
      ask: (queueIds) => this.receiver.ask(queueIds),
    });
    this.publisher = new Publisher({
      sql,
      waits,
      rounds,
      bus,
      payloads,
      batchIds,
      observer,
      topics: this.topicDirectory,
      directQueues,
    });
    this.sender = new Sender({
      sql,
      waits,
      rounds,
      bus,
      payloads,
      batchIds,
      observer,
      queues: this.queueDirectory,
    });
    this.receiver = new Receiver({
      sql,
      waits,
      rounds,
      bus,
      payloads,
      envelopes: this.envelopes,
      observer,
      queues: this.queueDirectory,
      handles: this.handles,
    });
    this.acknowledger = new Acknowledger({
      sql,
      waits,
      rounds,
      bus,
      observer,
      acknowledged: (queueId, messages) => {
        this.receiver.acknowledged(queueId, messages);
      },
      queues: this.queueDirectory,
      handles: this.handles,
    });
    this.visibility = new VisibilityChanger({
      sql,
      waits,
      bus,
      queues: this.queueDirectory,
      handles: this.handles,
    });
    const { topics, queues, subscriptions, envelopes } = this;
    this.#subscriber = new Subscriber({ sql, topics, queues, subscriptions });
    this.#matcher = new Matcher({ sql, topics, subscriptions });
    this.#purger = new Purger({ database, queues, observer, guard: guards?.purge ?? 0 });
    this.#peeker = new Peeker(queues, { sql, envelopes });
    this.#canceller = new Canceller({ sql, waits, payloads, queues, observer });
    this.#tracer = new Tracer(database);
  }

  /** Needs a migrated database. */
  static async open(options: EngineOptions): Promise<Engine> {
    const engine = new Engine(options, await sharedSecret(options.database.sql, "receipt-handles"));
    await engine.#listen();
    return engine;
  }

  /** Subscribes a queue to a topic; see {@link Subscriber.subscribe}. */
  subscribe(
    account: string,
    topic: string,
    queue: string,
    settings?: NewSubscription,
  ): Promise<{ subscription: Subscription; created: boolean }> {
    return this.#subscriber.subscribe(account, topic, queue, settings);
  }

  /** Delivers a part of the topic's archive to a subscription; see {@link Replays.start}. */
  replay(
    account: string,
    subscriptionId: string,
    request: ReplayRequest & { replace?: boolean },
  ): Promise<Replay> {
    return this.replays.start(account, subscriptionId, request);
  }

  /** Which subscriptions of a topic would get a message; see {@link Matcher.match}. */
  match(
    account: string,
    topic: string,
    request: { message: MessageInput } & MatchRequest,
  ): Promise<Page<Match>> {
    return this.#matcher.match(account, topic, request);
  }

  /** The same for each of the newest messages of its archive; see {@link Matcher.matchArchived}. */
  matchArchived(
    account: string,
    topic: string,
    request: { last: number } & MatchRequest,
  ): Promise<Page<ArchivedMatches>> {
    return this.#matcher.matchArchived(account, topic, request);
  }

  /** Deletes every message of a queue, and tells how many; see {@link Purger.purge}. */
  purge(account: string, queue: string, guard?: number): Promise<number> {
    return this.#purger.purge(account, queue, guard);
  }

  /** Looks at messages without receiving them; see {@link Peeker.peek}. */
  peek(account: string, queue: string, request: PeekRequest): Promise<Peeked> {
    return this.#peeker.peek(account, queue, request);
  }

  /** Takes a delayed message back; see {@link Canceller.cancelDelayed}. */
  cancelDelayed(account: string, queue: string, messageId: string): Promise<void> {
    return this.#canceller.cancelDelayed(account, queue, messageId);
  }

  /** What became of a message; see {@link Tracer.trace}. */
  trace(account: string, messageId: string): Promise<Trace> {
    return this.#tracer.trace(account, messageId);
  }

  /** Tells this and all other processes that a topic or queue is not what it was. */
  changed(change: Change): void {
    this.#forget(change);
    this.bus.invalidate(change);
  }

  /** Ends waiting receives, finishes what is being written. Leaves the database and the bus to their owner. */
  async close(): Promise<void> {
    this.#stopWatching();
    this.receiver.close();
    await Promise.all(this.#subscriptions.map((subscription) => subscription.stop()));
    const { publisher, sender, acknowledger, receiver } = this;
    await Promise.all([publisher.idle(), sender.idle(), acknowledger.idle(), receiver.idle()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #listen(): Promise<void> {
    this.#stopWatching = this.database.onLoss(() => {
      this.#forgetAll();
    });
    this.#subscriptions = [
      await this.bus.onQueues((queueIds) => {
        this.receiver.signal(queueIds);
      }),
      await this.bus.onChange((change) => {
        this.#forget(change);
      }),
      this.bus.onGap(() => {
        this.topicDirectory.forgetAll();
        this.queueDirectory.forgetAll();
        this.receiver.signalAll();
      }),
    ];
  }

  /** Whatever it was that is known by an id or a time of the server: the next one may be another. */
  #forgetAll(): void {
    this.#payloads.forget();
    this.#batchIds.forget();
    this.topicDirectory.forgetAll();
    this.queueDirectory.forgetAll();
    this.receiver.forget();
  }

  #forget({ kind, account, name }: Change): void {
    if (kind === "topic") this.topicDirectory.forget(account, name);
    if (kind !== "queue") return;
    this.queueDirectory.forget(account, name);
    this.receiver.queueChanged(account, name);
    if (this.receiver.isWaitedFor(account, name)) void this.#endWaitingIfDeleted(account, name);
  }

  async #endWaitingIfDeleted(account: string, name: string): Promise<void> {
    try {
      const queue = await this.queues.find(account, name);
      this.receiver.queueIsNow(account, name, queue?.id);
    } catch (error) {
      // Whoever waits for it waits in vain until its wait is over.
      this.#observer.failed("cache invalidation", error);
    }
  }
}

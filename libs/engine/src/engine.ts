import type { Bus, Change } from "@sluice/bus";
import type { Database } from "@sluice/database";

import { Acknowledger } from "./acknowledge/acknowledge.ts";
import { Canceller } from "./cancel/canceller.ts";
import { Directory } from "./directory/directory.ts";
import type { Page } from "./directory/pages.ts";
import { Envelopes, type NotificationOptions } from "./envelope/envelopes.ts";
import { queueNotFound, topicNotFound } from "./errors.ts";
import { HintListener } from "./hint-listener.ts";
import type { ArchivedMatches, Match, MatchRequest } from "./match/match.ts";
import { Matcher } from "./match/matcher.ts";
import type { MessageInput } from "./message/message.ts";
import type { Observer } from "./observer.ts";
import type { Peeked, PeekRequest } from "./peek/peeked.ts";
import { Peeker } from "./peek/peeker.ts";
import { Publisher } from "./publish/publish.ts";
import { Purger } from "./purge/purger.ts";
import type { Queue } from "./queues/queue-rows.ts";
import { Queues } from "./queues/queues.ts";
import { ReceiptHandles } from "./receipt-handle/receipt-handle.ts";
import { sharedSecret } from "./receipt-handle/shared-secret.ts";
import { Payloads } from "./receive/payloads.ts";
import { Receiver } from "./receive/receive.ts";
import { RedriveTasks } from "./redrive/redrive-tasks.ts";
import type { ReplayRequest } from "./replay/replay-range.ts";
import { Replays, type Replay } from "./replay/replays.ts";
import { Rounds } from "./rounds/rounds.ts";
import { Sender } from "./send/send.ts";
import { Subscriber, type NewSubscription } from "./subscriptions/subscriber.ts";
import type { Subscription } from "./subscriptions/subscription-rows.ts";
import { Subscriptions } from "./subscriptions/subscriptions.ts";
import { Topics, type Topic } from "./topics/topics.ts";
import type { Trace } from "./trace/trace.ts";
import { Tracer } from "./trace/tracer.ts";
import { VisibilityChanger } from "./visibility/change-visibility.ts";
import { BatchIds } from "./write/batch-ids.ts";
import { LockWaits } from "./write/lock-waits.ts";

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
 * Each verb is one object in a folder of its own, with its SQL beside it; this class only puts them together.
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
  readonly envelopes: Envelopes;
  readonly database: Database;
  readonly bus: Bus;
  readonly #subscriber: Subscriber;
  readonly #matcher: Matcher;
  readonly #purger: Purger;
  readonly #peeker: Peeker;
  readonly #canceller: Canceller;
  readonly #tracer: Tracer;
  readonly #hints: HintListener;

  private constructor(
    { database, bus, observer, guards, notifications, directQueues }: EngineOptions,
    secret: Uint8Array,
  ) {
    const { sql, control, lookUps } = database;
    this.database = database;
    this.bus = bus;

    const topics = new Topics({ control, lookUps });
    const queues = new Queues({ control, lookUps, hot: sql }, guards?.deletedQueueName ?? 0);
    const subscriptions = new Subscriptions(control);
    this.topics = topics;
    this.queues = queues;
    this.subscriptions = subscriptions;
    const replays = new Replays({ control, hot: sql, topics, subscriptions });
    this.replays = replays;
    this.#subscriber = new Subscriber({ topics, queues, subscriptions, replays });
    this.redrives = new RedriveTasks(control, queues);

    const topicDirectory = new Directory({
      find: (account, name) => topics.find(account, name),
      notFound: topicNotFound,
    });
    const queueDirectory = new Directory({
      find: (account, name) => queues.find(account, name),
      findAll: (account, names) => queues.findAll(account, names),
      notFound: queueNotFound,
      // The handle may be one of a new queue of that name.
      doubts: ["receipt_handle_invalid"],
    });
    this.topicDirectory = topicDirectory;
    this.queueDirectory = queueDirectory;

    const waits = new LockWaits(sql);
    const rounds = new Rounds({
      sql,
      waits,
      shared: database.shared,
      ask: (queueIds) => this.receiver.ask(queueIds),
    });
    const payloads = new Payloads(sql);
    const batchIds = new BatchIds(sql);
    const envelopes = new Envelopes(sql, notifications);
    const handles = new ReceiptHandles(secret);
    const common = { sql, waits, rounds, bus, observer };
    this.envelopes = envelopes;
    this.publisher = new Publisher({
      ...common,
      payloads,
      batchIds,
      topics: topicDirectory,
      directQueues,
    });
    this.sender = new Sender({ ...common, payloads, batchIds, queues: queueDirectory });
    const receiver = new Receiver({
      ...common,
      payloads,
      envelopes,
      queues: queueDirectory,
      handles,
    });
    this.receiver = receiver;
    this.acknowledger = new Acknowledger({
      ...common,
      acknowledged: (queueId, messages) => {
        receiver.acknowledged(queueId, messages);
      },
      queues: queueDirectory,
      handles,
    });
    this.visibility = new VisibilityChanger({ sql, waits, bus, queues: queueDirectory, handles });

    this.#matcher = new Matcher({ sql, topics, subscriptions });
    this.#purger = new Purger({ database, waits, queues, observer, guard: guards?.purge ?? 0 });
    this.#peeker = new Peeker(queues, { sql, envelopes });
    this.#canceller = new Canceller({ sql, waits, payloads, queues, observer });
    this.#tracer = new Tracer(database);
    this.#hints = new HintListener({
      database,
      bus,
      observer,
      queues,
      topicDirectory,
      queueDirectory,
      payloads,
      batchIds,
      receiver,
    });
  }

  /** Needs a migrated database. */
  static async open(options: EngineOptions): Promise<Engine> {
    const engine = new Engine(options, await sharedSecret(options.database.sql, "receipt-handles"));
    await engine.#hints.start();
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
    this.#hints.changed(change);
  }

  /** Ends waiting receives, finishes what is being written. Leaves the database and the bus to their owner. */
  async close(): Promise<void> {
    const { publisher, sender, acknowledger, receiver } = this;
    receiver.close();
    await this.#hints.stop();
    await Promise.all([publisher.idle(), sender.idle(), acknowledger.idle(), receiver.idle()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

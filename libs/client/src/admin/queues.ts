import type { Connection } from "../connection.ts";
import { queueName } from "../declarations.ts";
import type { QueueReference } from "../declarations.ts";
import { callOf } from "./call-options.ts";
import type { AdminCallOptions, Call } from "./call-options.ts";
import { ensure } from "./ensure.ts";
import { queuePath } from "./paths.ts";
import { listOptions, pages } from "./pages.ts";
import type { ListOptions } from "./pages.ts";
import { peek } from "./peek.ts";
import type { PeekedMessage, PeekOptions } from "./peek.ts";
import { RedriveAdmin } from "./redrives.ts";
import { remove } from "./remove.ts";
import type { Tags } from "./topics.ts";

/** How long a purge is waited for beyond other calls, in milliseconds: it takes ten seconds for a million messages. */
const PURGE_MS = 600_000;
/** What the answer of a queue has. */
const field = "createdAt";

/** After how many receives a message goes to which queue. */
export interface RedrivePolicy {
  /** Where it goes instead of being received once more: the name of a queue that is there. */
  readonly deadLetterQueue: string;
  /** 1 to 1,000. */
  readonly maxReceiveCount: number;
}

/** Which queues may name this one as their dead-letter queue. */
export type RedriveAllowPolicy =
  | { readonly permission: "allowAll" | "denyAll" }
  | {
      readonly permission: "byQueue";
      /** Up to 10 names. */
      readonly queues: readonly string[];
    };

/** What can be set on a queue and changed later. Durations are in seconds, sizes in bytes. */
export interface QueueSettings {
  /** How long a received message stays hidden from other consumers: 0 to 43,200 seconds. Default 30. */
  readonly visibilityTimeout?: number;
  /**
   * How long a new message stays hidden, in seconds, up to ten years. Where it is as long as `retention`, or longer,
   * messages are kept from its end on. Default 0.
   */
  readonly delay?: number;
  /** How long a message is kept: 60 to 1,209,600 seconds. Default 345,600 (4 days). */
  readonly retention?: number;
  /** The largest message, body and attributes together: 1,024 to 1,048,576 bytes. Default 1,048,576. */
  readonly maxMessageSize?: number;
  /** How long a receive that says nothing else waits for a message: 0 to 20 seconds. Default 0. */
  readonly receiveWait?: number;
  /** Where messages go that fail too often; null (the default): they are received until they expire. */
  readonly redrive?: RedrivePolicy | null;
  /** Default: any queue. */
  readonly redriveAllow?: RedriveAllowPolicy;
  /** FIFO queues: whether a message without a deduplication id gets the SHA-256 of its body. Default false. */
  readonly contentBasedDeduplication?: boolean;
  /** FIFO queues: within what a deduplication id counts. Default "queue". */
  readonly deduplicationScope?: "queue" | "messageGroup";
  /** FIFO queues: as SQS has it; "perMessageGroupId" needs the scope "messageGroup". Default "perQueue". */
  readonly fifoThroughputLimit?: "perQueue" | "perMessageGroupId";
  /** Whether receives get nothing, while sends and publishes go on. Default false. */
  readonly paused?: boolean;
  /** Up to 50; keys up to 128 characters, values up to 256. */
  readonly tags?: Tags;
}

/** Settings of a new queue: those that can be changed later, and its kind. */
export interface NewQueueSettings extends QueueSettings {
  /**
   * Whether the messages of a group come in the order in which they were sent, and duplicates not at all. Default:
   * whether the name ends in `.fifo`, which it does exactly then; another value is refused.
   */
  readonly fifo?: boolean;
}

/** A queue with all its settings, also those that nobody has named. */
export interface QueueInfo extends Required<NewQueueSettings> {
  readonly name: string;
  readonly createdAt: Date;
}

/** How many messages a queue holds. */
export interface QueueCounts {
  /** Messages a receive could take now. */
  readonly visible: number;
  /** Messages received and neither acknowledged nor visible again. */
  readonly inFlight: number;
  /** Messages whose delay has not passed. */
  readonly delayed: number;
  /** Age of the oldest message in seconds; null in an empty queue. */
  readonly oldestMessageAge: number | null;
}

/** Messages since the queue was created. What came, less what went, is what it holds. */
export interface QueueTotals {
  /** Sent or fanned out to it. */
  readonly sent: number;
  /** Came as dead letters of other queues. */
  readonly deadLettersIn: number;
  /** Came by a redrive. */
  readonly redrivenIn: number;
  readonly acknowledged: number;
  /** Went to its dead-letter queue. */
  readonly deadLettered: number;
  /** Went by a redrive. */
  readonly redriven: number;
  /** Were older than the retention. */
  readonly expired: number;
  /** Deleted by a purge. */
  readonly purged: number;
  /** Taken back while they were delayed. */
  readonly cancelled: number;
}

/** A queue with what it holds. */
export interface QueueInfoWithCounts extends QueueInfo {
  /** What it holds, counted at the call. */
  readonly counts: QueueCounts;
  /** What came and went. */
  readonly totals: QueueTotals;
}

/** Creates, reads and removes queues. Every method takes a declaration or a name. */
export class QueueAdmin {
  /** Moves of dead letters back to where they came from, or to a named queue. */
  readonly redrives: RedriveAdmin;
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.redrives = new RedriveAdmin(connection);
  }

  /**
   * Creates the queue, or returns it when it exists with the same settings; see {@link ensure} for what gives it
   * others.
   *
   * Throws `queue_exists` when they differ (its `details` tell what each is and what was asked),
   * `queue_deleted_recently` where the server keeps the names of deleted queues for a while.
   */
  async create(
    queue: QueueReference,
    settings: NewQueueSettings = {},
    call: AdminCallOptions = {},
  ): Promise<QueueInfo> {
    return await this.#create(queue, settings, callOf("admin.queues.create", call));
  }

  /**
   * Creates the queue, or gives one that exists the settings that are named, and leaves its others: for programs that
   * do so each time they start, also when a setting has changed since. Throws `invalid_request` for what does not fit
   * the kind of the queue, `queue_deleted_recently`.
   *
   * @example
   * ```ts
   * await admin.queues.ensure("billing", { visibilityTimeout: 60 });
   * ```
   */
  async ensure(
    queue: QueueReference,
    settings: NewQueueSettings = {},
    call: AdminCallOptions = {},
  ): Promise<QueueInfo> {
    const made = callOf("admin.queues.ensure", call);
    // Those of another queue have its name with them, which is nothing to change.
    const { fifo, name: _, ...changeable } = settings as NewQueueSettings & { name?: string };
    // Of another kind than its name says there is none.
    const mayBeThere = fifo === undefined || fifo === queueName(queue).endsWith(".fifo");
    return await ensure<QueueInfo>({
      given: changeable,
      exists: "queue_exists",
      // Of settings that need others: one that is there may have those.
      unfit: mayBeThere ? ["invalid_request"] : [],
      create: () => this.#create(queue, settings, made),
      missing: "queue_not_found",
      get: async () => {
        const { counts: _counts, totals: _totals, ...info } = await this.#get(queue, made);
        return info;
      },
      update: () => this.#update(queue, changeable, made),
    });
  }

  /** The queue's settings and how many messages it holds. Throws `queue_not_found`. */
  async get(queue: QueueReference, call: AdminCallOptions = {}): Promise<QueueInfoWithCounts> {
    return await this.#get(queue, callOf("admin.queues.get", call));
  }

  /** Iterates over all queues by name, page by page. */
  list(options: ListOptions = {}): AsyncIterableIterator<QueueInfo> {
    return pages(this.#connection, {
      call: "admin.queues.list",
      path: "/v1/queues",
      field: "queues",
      options,
      known: listOptions,
      read: queueInfo,
    });
  }

  /** Changes the given settings and leaves the others. Throws `queue_not_found`. */
  async update(
    queue: QueueReference,
    settings: QueueSettings,
    call: AdminCallOptions = {},
  ): Promise<QueueInfo> {
    return await this.#update(queue, settings, callOf("admin.queues.update", call));
  }

  /** Deletes the queue with everything in it. Throws `queue_not_found`. */
  async delete(queue: QueueReference, call: AdminCallOptions = {}): Promise<void> {
    await remove(this.#connection, queuePath(queue), callOf("admin.queues.delete", call));
  }

  /** Stops handing out messages; what is in flight can still be acknowledged. Throws `queue_not_found`. */
  async pause(queue: QueueReference, call: AdminCallOptions = {}): Promise<QueueInfo> {
    return await this.#update(queue, { paused: true }, callOf("admin.queues.pause", call));
  }

  /** Goes on handing out messages, also to receives that wait already. Throws `queue_not_found`. */
  async resume(queue: QueueReference, call: AdminCallOptions = {}): Promise<QueueInfo> {
    return await this.#update(queue, { paused: false }, callOf("admin.queues.resume", call));
  }

  /**
   * Deletes every message of the queue, in flight or not, and returns how many. What is sent afterwards survives.
   * A million messages that were sent one by one may take ten seconds, and it is waited for ten minutes longer than
   * for other calls.
   *
   * Not repeated when its answer is lost, since a repeat would delete what came since. Throws `queue_not_found`.
   */
  async purge(queue: QueueReference, call: AdminCallOptions = {}): Promise<number> {
    const path = `${queuePath(queue)}/purge`;
    const made = callOf("admin.queues.purge", call);
    const request = { method: "POST", path, field: "purged", waitMs: PURGE_MS, ...made } as const;
    const { purged } = (await this.#connection.request(request)) as { purged: number };
    return purged;
  }

  /**
   * Iterates over messages without receiving them: nothing about them changes. Throws `queue_not_found`.
   *
   * @example
   * ```ts
   * for await (const { body } of admin.queues.peek("billing", { state: "visible", search: "o-17" })) console.log(body);
   * ```
   */
  peek(queue: QueueReference, options: PeekOptions = {}): AsyncIterableIterator<PeekedMessage> {
    return peek(this.#connection, `${queuePath(queue)}/peek`, options);
  }

  /**
   * Takes a delayed message back, by its id. Throws `message_not_found` when it is no longer delayed, with
   * `outcomeUnknown` where an attempt whose answer was lost may have been what took it back; `queue_not_found`.
   */
  async cancelDelayed(
    queue: QueueReference,
    messageId: string,
    call: AdminCallOptions = {},
  ): Promise<void> {
    const path = `${queuePath(queue)}/messages/${encodeURIComponent(messageId)}`;
    const made = callOf("admin.queues.cancelDelayed", call);
    // A repeat that does not find it is no success: it may have been received meanwhile.
    await this.#connection.request({ method: "DELETE", path, ...made });
  }

  async #create(queue: QueueReference, settings: NewQueueSettings, call: Call): Promise<QueueInfo> {
    const name = queueName(queue);
    // The name last: settings may be those of another queue, with the name of that.
    const body = { ...(name.endsWith(".fifo") && { fifo: true }), ...settings, name };
    const path = "/v1/queues";
    return queueInfo(
      await this.#connection.request({ method: "POST", path, body, field, retry: true, ...call }),
    );
  }

  async #get(queue: QueueReference, call: Call): Promise<QueueInfoWithCounts> {
    const path = queuePath(queue);
    const wire = await this.#connection.request({ method: "GET", path, field, ...call });
    return queueInfo(wire) as QueueInfoWithCounts;
  }

  async #update(queue: QueueReference, body: QueueSettings, call: Call): Promise<QueueInfo> {
    const path = queuePath(queue);
    return queueInfo(
      await this.#connection.request({ method: "PATCH", path, body, field, ...call }),
    );
  }
}

function queueInfo(wire: unknown): QueueInfo {
  const queue = wire as Omit<QueueInfo, "createdAt"> & { createdAt: string };
  return { ...queue, createdAt: new Date(queue.createdAt) };
}

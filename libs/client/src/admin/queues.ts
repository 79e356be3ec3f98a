import type { Connection } from "../connection.ts";
import { queueName } from "../declarations.ts";
import type { QueueReference } from "../declarations.ts";
import { pages } from "./pages.ts";
import type { ListOptions } from "./pages.ts";
import { remove } from "./remove.ts";
import type { Tags } from "./topics.ts";

export interface QueueSettings {
  /** How long a received message stays hidden from other consumers: 0 to 43,200 seconds. Default 30. */
  readonly visibilityTimeout?: number;
  /** How long a new message stays hidden, in seconds. Default 0. */
  readonly delay?: number;
  /** How long a message is kept: 60 to 1,209,600 seconds. Default 345,600 (4 days). */
  readonly retention?: number;
  /** The largest message, body and attributes together: 1,024 to 1,048,576 bytes. Default 1,048,576. */
  readonly maxMessageSize?: number;
  /** How long a receive that says nothing else waits for a message: 0 to 20 seconds. Default 0. */
  readonly receiveWait?: number;
  /** Up to 50; keys up to 128 characters, values up to 256. */
  readonly tags?: Tags;
}

export interface QueueInfo extends Required<QueueSettings> {
  readonly name: string;
  readonly createdAt: Date;
}

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

export interface QueueInfoWithCounts extends QueueInfo {
  readonly counts: QueueCounts;
}

/** Creates, reads and removes queues. Every method takes a declaration or a name. */
export class QueueAdmin {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Creates the queue, or returns it when it exists with the same settings. Throws `queue_exists` when they differ. */
  async create(queue: QueueReference, settings: QueueSettings = {}): Promise<QueueInfo> {
    const body = { name: queueName(queue), ...settings };
    return queueInfo(
      await this.#connection.request({ method: "POST", path: "/v1/queues", body, retry: true }),
    );
  }

  /** The queue's settings and how many messages it holds. Throws `queue_not_found`. */
  async get(queue: QueueReference): Promise<QueueInfoWithCounts> {
    const wire = await this.#connection.request({ method: "GET", path: queuePath(queue) });
    return queueInfo(wire) as QueueInfoWithCounts;
  }

  /** Iterates over all queues by name, page by page. */
  list(options: ListOptions = {}): AsyncIterableIterator<QueueInfo> {
    return pages(this.#connection, {
      path: "/v1/queues",
      field: "queues",
      options,
      read: queueInfo,
    });
  }

  /** Changes the given settings and leaves the others. Throws `queue_not_found`. */
  async update(queue: QueueReference, settings: QueueSettings): Promise<QueueInfo> {
    return queueInfo(
      await this.#connection.request({ method: "PATCH", path: queuePath(queue), body: settings }),
    );
  }

  /** Deletes the queue with everything in it. Throws `queue_not_found`. */
  delete(queue: QueueReference): Promise<void> {
    return remove(this.#connection, queuePath(queue));
  }
}

export function queuePath(queue: QueueReference): string {
  return `/v1/queues/${encodeURIComponent(queueName(queue))}`;
}

function queueInfo(wire: unknown): QueueInfo {
  const queue = wire as Omit<QueueInfo, "createdAt"> & { createdAt: string };
  return { ...queue, createdAt: new Date(queue.createdAt) };
}

import { listOf } from "../answer.ts";
import type { Connection } from "../connection.ts";
import { queueName } from "../declarations.ts";
import type { QueueReference } from "../declarations.ts";
import { refuseUnknown } from "../options.ts";
import type { OptionNames } from "../options.ts";
import { callOf } from "./call-options.ts";
import type { AdminCallOptions, Call } from "./call-options.ts";
import { queuePath } from "./paths.ts";
import { untilEnded } from "./until-ended.ts";

/** Where a redrive goes, and how fast. */
export interface RedriveOptions {
  /** Where everything goes. Default: each message to the queue that it came from. */
  readonly destination?: QueueReference;
  /** Messages a second, 1 to 1,000,000. Default: as fast as it goes. */
  readonly rate?: number;
}

/** A move of the messages of one dead-letter queue. */
export interface Redrive {
  readonly id: string;
  /** The dead-letter queue; absent once it is deleted. */
  readonly queue?: string;
  /** Absent: each message goes to the queue that it came from (or the destination was deleted an hour ago or more). */
  readonly destination?: string;
  /** Messages a second; absent: as fast as it goes. */
  readonly rate?: number;
  /** `failed`: the destination was deleted before everything had gone there; the rest stays. */
  readonly status: "running" | "completed" | "cancelled" | "failed";
  /** Messages moved until now. */
  readonly moved: number;
  /** Messages that were there when it started; what has nowhere to go stays. */
  readonly total: number;
  readonly createdAt: Date;
  /** When it was completed, was cancelled or failed; absent while it runs. */
  readonly finishedAt?: Date;
}

/** What the answer of one has. */
const field = "createdAt";

const names: OptionNames<RedriveOptions> = { destination: true, rate: true };

/** Starts, watches and cancels moves of dead letters. The server carries them on, also after a restart. */
export class RedriveAdmin {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Starts to move what is visible in a dead-letter queue now; receive counts start again.
   *
   * Not repeated when its answer is lost; `list` then tells whether it runs. Throws `redrive_running` when one does
   * already, `queue_not_found`, and `invalid_request` when the destination is the queue itself.
   *
   * @example
   * ```ts
   * const { id } = await admin.queues.redrives.start("billing-dead", { rate: 100 });
   * const { status, moved, total } = await admin.queues.redrives.get("billing-dead", id);
   * ```
   */
  async start(
    queue: QueueReference,
    options: RedriveOptions = {},
    call: AdminCallOptions = {},
  ): Promise<Redrive> {
    refuseUnknown(options, names);
    const { destination, rate } = options;
    const made = callOf("admin.queues.redrives.start", call);
    const body = {
      destination: destination === undefined ? undefined : queueName(destination),
      rate,
    };
    const path = redrivesPath(queue);
    return redriveOf(
      await this.#connection.request({ method: "POST", path, body, field, ...made }),
    );
  }

  /** Throws `redrive_not_found`, `queue_not_found`. */
  async get(queue: QueueReference, id: string, call: AdminCallOptions = {}): Promise<Redrive> {
    return await this.#get(queue, id, callOf("admin.queues.redrives.get", call));
  }

  /** The newest 100, newest first. Throws `queue_not_found`. */
  async list(queue: QueueReference, call: AdminCallOptions = {}): Promise<Redrive[]> {
    const made = callOf("admin.queues.redrives.list", call);
    const path = redrivesPath(queue);
    const request = { method: "GET", path, field: "redrives", ...made } as const;
    const answer = await this.#connection.request(request);
    return listOf(answer, "redrives").map(redriveOf);
  }

  /**
   * Waits until it does not run any more, however long that takes, and returns it as it is then: `completed`,
   * `cancelled` or `failed`. It is looked at ever more seldom, in the end every 2 seconds. Throws what {@link get} does
   * (`redrive_not_found`, `queue_not_found`), and `aborted` when the signal aborts: the redrive itself goes on then.
   *
   * @example
   * ```ts
   * const { id } = await admin.queues.redrives.start("billing-dead");
   * const signal = AbortSignal.timeout(60_000);
   * const { status, moved } = await admin.queues.redrives.finished("billing-dead", id, { signal });
   * ```
   */
  async finished(queue: QueueReference, id: string, call: AdminCallOptions = {}): Promise<Redrive> {
    const made = callOf("admin.queues.redrives.finished", call);
    return await untilEnded(() => this.#get(queue, id, made), made.signal);
  }

  /**
   * Ends a running one; what it has moved stays moved. Throws `redrive_not_found` when it does not run,
   * `queue_not_found`.
   */
  async cancel(queue: QueueReference, id: string, call: AdminCallOptions = {}): Promise<Redrive> {
    const made = callOf("admin.queues.redrives.cancel", call);
    const path = redrivePath(queue, id);
    return redriveOf(
      await this.#connection.request({ method: "DELETE", path, field, retry: false, ...made }),
    );
  }

  async #get(queue: QueueReference, id: string, call: Call): Promise<Redrive> {
    const path = redrivePath(queue, id);
    return redriveOf(await this.#connection.request({ method: "GET", path, field, ...call }));
  }
}

function redrivesPath(queue: QueueReference): string {
  return `${queuePath(queue)}/redrive`;
}

function redrivePath(queue: QueueReference, id: string): string {
  return `${redrivesPath(queue)}/${encodeURIComponent(id)}`;
}

function redriveOf(wire: unknown): Redrive {
  const { createdAt, finishedAt, ...rest } = wire as Omit<Redrive, "createdAt" | "finishedAt"> & {
    createdAt: string;
    finishedAt?: string;
  };
  return {
    ...rest,
    createdAt: new Date(createdAt),
    ...(finishedAt !== undefined && { finishedAt: new Date(finishedAt) }),
  };
}

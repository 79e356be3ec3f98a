import { listOf } from "../answer.ts";
import type { Connection } from "../connection.ts";
import { safely, shown } from "../given.ts";
import { invalidOption, refuseUnknown } from "../options.ts";
import type { OptionNames } from "../options.ts";
import { callOf } from "./call-options.ts";
import type { AdminCallOptions, Call } from "./call-options.ts";
import { subscriptionPath } from "./paths.ts";
import { untilEnded } from "./until-ended.ts";

/** A place in an archive: a time, or the id of a message. */
export type ReplayPoint = Date | string;

/** Which part of an archive is replayed, and how fast. */
export interface ReplayOptions {
  /** The first message, inclusive. */
  readonly from: ReplayPoint;
  /** The last one, inclusive; of a time all of its millisecond. Default, and at the most: the start of the replay. */
  readonly to?: ReplayPoint;
  /** Messages a second, 1 to 1,000,000. Default: as fast as it goes. */
  readonly rate?: number;
}

/** A delivery of a part of a topic's archive to one subscription. */
export interface Replay {
  readonly id: string;
  /** The id of the subscription. */
  readonly subscription: string;
  /** When its first message was published, or the time that was named. */
  readonly from: Date;
  /** Absent when it came with its subscription: it goes up to that. */
  readonly to?: Date;
  /** Messages a second; absent: as fast as it goes. */
  readonly rate?: number;
  /** `cancelled`: by hand, or because the archive was switched off. */
  readonly status: "running" | "completed" | "cancelled";
  /** Messages that were put into the queue until now. */
  readonly replayed: number;
  /** The part of its time that is done, 0 to 1. */
  readonly progress: number;
  readonly createdAt: Date;
  /** When it was completed or cancelled; absent while it runs. */
  readonly finishedAt?: Date;
}

/** What the answer of one has. */
const field = "createdAt";

const names: OptionNames<ReplayOptions> = { from: true, to: true, rate: true };

/** Starts, watches and cancels replays. The server carries them on, also after a restart. */
export class ReplayAdmin {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Delivers what the topic's archive has of that time to a subscription again, through its filter, and to no other
   * one.
   *
   * Not repeated when its answer is lost; `list` then tells whether it runs. Throws `replay_running` when one does
   * already, `topic_not_archived`, `subscription_not_found`, `message_not_found` for a message that is not in the
   * archive, and `invalid_request` when it ends before it begins.
   */
  async start(
    subscriptionId: string,
    options: ReplayOptions,
    call: AdminCallOptions = {},
  ): Promise<Replay> {
    refuseUnknown(options, names);
    const { from, to, rate } = options;
    const made = callOf("admin.subscriptions.replays.start", call);
    const body = {
      from: replayPoint(from, "from"),
      to: to === undefined ? undefined : replayPoint(to, "to"),
      rate,
    };
    const path = replaysPath(subscriptionId);
    return replayOf(await this.#connection.request({ method: "POST", path, body, field, ...made }));
  }

  /** Throws `replay_not_found`, `subscription_not_found`. */
  async get(subscriptionId: string, id: string, call: AdminCallOptions = {}): Promise<Replay> {
    return await this.#get(subscriptionId, id, callOf("admin.subscriptions.replays.get", call));
  }

  /** The newest 100, newest first. Throws `subscription_not_found`. */
  async list(subscriptionId: string, call: AdminCallOptions = {}): Promise<Replay[]> {
    const made = callOf("admin.subscriptions.replays.list", call);
    const path = replaysPath(subscriptionId);
    const request = { method: "GET", path, field: "replays", ...made } as const;
    const answer = await this.#connection.request(request);
    return listOf(answer, "replays").map(replayOf);
  }

  /**
   * Waits until it does not run any more, however long that takes, and returns it as it is then: `completed` or
   * `cancelled`. It is looked at ever more seldom, in the end every 2 seconds. Throws what {@link get} does
   * (`replay_not_found`, `subscription_not_found`), and `aborted` when the signal aborts: the replay itself goes on
   * then.
   *
   * @example
   * ```ts
   * const { id } = await admin.subscriptions.replays.start(subscription.id, { from: new Date(0) });
   * const { status, replayed } = await admin.subscriptions.replays.finished(subscription.id, id);
   * ```
   */
  async finished(subscriptionId: string, id: string, call: AdminCallOptions = {}): Promise<Replay> {
    const made = callOf("admin.subscriptions.replays.finished", call);
    return await untilEnded(() => this.#get(subscriptionId, id, made), made.signal);
  }

  /**
   * Ends a running one; what it has delivered stays. Throws `replay_not_found` when it does not run,
   * `subscription_not_found`.
   */
  async cancel(subscriptionId: string, id: string, call: AdminCallOptions = {}): Promise<Replay> {
    const made = callOf("admin.subscriptions.replays.cancel", call);
    const path = replayPath(subscriptionId, id);
    return replayOf(
      await this.#connection.request({ method: "DELETE", path, field, retry: false, ...made }),
    );
  }

  async #get(subscriptionId: string, id: string, call: Call): Promise<Replay> {
    const path = replayPath(subscriptionId, id);
    return replayOf(await this.#connection.request({ method: "GET", path, field, ...call }));
  }
}

/** Throws `invalid_request` for what is no such place, also a date that is none: of a text that is no time. */
export function replayPoint(point: ReplayPoint, option: string): string {
  const told = typeof point === "string" ? point : safely(() => point.toISOString());
  if (told !== undefined) return told;
  throw invalidOption(option, `expected a time or the id of a message, got ${shown(point)}`);
}

function replaysPath(subscriptionId: string): string {
  return `${subscriptionPath(subscriptionId)}/replays`;
}

function replayPath(subscriptionId: string, id: string): string {
  return `${replaysPath(subscriptionId)}/${encodeURIComponent(id)}`;
}

function replayOf(wire: unknown): Replay {
  type Times = "from" | "to" | "createdAt" | "finishedAt";
  const { from, to, createdAt, finishedAt, ...rest } = wire as Omit<Replay, Times> & {
    from: string;
    to?: string;
    createdAt: string;
    finishedAt?: string;
  };
  return {
    ...rest,
    from: new Date(from),
    ...(to !== undefined && { to: new Date(to) }),
    createdAt: new Date(createdAt),
    ...(finishedAt !== undefined && { finishedAt: new Date(finishedAt) }),
  };
}

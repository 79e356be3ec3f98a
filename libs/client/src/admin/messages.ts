import type { Connection } from "../connection.ts";
import { callOf } from "./call-options.ts";
import type { AdminCallOptions } from "./call-options.ts";

/**
 * Of a delivery: where it rests, or how it ended. `unknown`: it is not on record that it left, and it was not found.
 */
export type TracedState =
  | "waiting"
  | "delayed"
  | "inFlight"
  | "acknowledged"
  | "deadLettered"
  | "redriven"
  | "expired"
  | "purged"
  | "cancelled"
  | "queueDeleted"
  | "unknown";

/** A subscription, which may be gone by now. */
export interface TracedSubscription {
  readonly id: string;
  /** Whether it has ended since. */
  readonly deleted: boolean;
}

interface Arrival {
  readonly by: "send" | "subscription" | "replay" | "deadLetter" | "redrive";
  readonly at: Date;
  /** Of `subscription` and `replay`. */
  readonly subscription?: TracedSubscription;
  /** Of `deadLetter` and `redrive`: the queue that it came from; null as {@link TracedDelivery}'s. */
  readonly from?: string | null;
}

/** How and when a message came to a queue: `by` says which of the rest there is. */
export type TracedArrival = Arrival &
  (
    | { readonly by: "send" }
    | { readonly by: "subscription" | "replay"; readonly subscription: TracedSubscription }
    | { readonly by: "deadLetter" | "redrive"; readonly from: string | null }
  );

interface Delivery {
  /** Null when it was deleted so long ago that its name is forgotten. */
  readonly queue: string | null;
  /** How and when it came there; absent when that is not on record. */
  readonly arrival?: TracedArrival;
  readonly state: TracedState;
  /** Since when it is in that state; absent when that is not known. */
  readonly since?: Date;
  /** Of `deadLettered` and `redriven`: the queue that it went to; null as `queue`. */
  readonly to?: string | null;
  /** Why it is, or became, a dead letter. */
  readonly reason?: string;
  /** How often it was received; while it is in the queue. */
  readonly receiveCount?: number;
  /** Of `inFlight` and `delayed`: when it is visible (again). */
  readonly visibleAt?: Date;
}

/**
 * The message in one queue: `state` says which of the rest there is. A dead letter and what was redriven are deliveries
 * of their own.
 */
export type TracedDelivery = Delivery &
  (
    | { readonly state: "waiting"; readonly since: Date; readonly receiveCount: number }
    | {
        readonly state: "delayed" | "inFlight";
        readonly visibleAt: Date;
        readonly receiveCount: number;
      }
    | {
        readonly state: "deadLettered" | "redriven";
        readonly since: Date;
        readonly to: string | null;
      }
    | { readonly state: "acknowledged" | "expired" | "purged" | "cancelled"; readonly since: Date }
    | { readonly state: "queueDeleted" | "unknown" }
  );

/** What became of a message, as far as the record of the server goes. */
export interface MessageTrace {
  /** What the publish or send returned. */
  readonly messageId: string;
  /**
   * That it was published to, while that is there and on record, see {@link recordedSince}; absent for what was sent
   * straight to a queue.
   */
  readonly topic?: string;
  /** When it was published or sent. */
  readonly sentAt: Date;
  /** `published`: stored, and waits for its fan-out. */
  readonly state: "published" | "distributed";
  /** In the order of their arrivals. */
  readonly deliveries: readonly TracedDelivery[];
  /** Subscriptions whose filter policy did not accept it. */
  readonly refusals: readonly { readonly subscription: TracedSubscription; readonly at: Date }[];
  /** Since when everything is on record; null when nothing is, and only what is stored now is told. */
  readonly recordedSince: Date | null;
  /** False when looking through a backlog for it took too long, and was given up. */
  readonly complete: boolean;
}

/** Tells what became of messages. */
export class MessageAdmin {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Which subscriptions and queues a message came to, and what became of it in each. Nothing about it changes.
   *
   * Throws `message_not_found` when nothing is known of it: it is older than the record, and in no queue any more.
   */
  async trace(messageId: string, call: AdminCallOptions = {}): Promise<MessageTrace> {
    const made = callOf("admin.messages.trace", call);
    const path = `/v1/messages/${encodeURIComponent(messageId)}/trace`;
    const request = { method: "GET", path, field: "deliveries", ...made } as const;
    return traceOf(await this.#connection.request(request));
  }
}

function traceOf(wire: unknown): MessageTrace {
  const { deliveries, refusals, sentAt, recordedSince, ...rest } = wire as WireTrace;
  return {
    ...rest,
    sentAt: new Date(sentAt),
    deliveries: deliveries.map(deliveryOf),
    refusals: refusals.map(({ subscription, at }) => ({ subscription, at: new Date(at) })),
    recordedSince: recordedSince === null ? null : new Date(recordedSince),
  };
}

function deliveryOf({ arrival, since, visibleAt, ...rest }: Wire<TracedDelivery>): TracedDelivery {
  const delivery = {
    ...rest,
    ...(arrival && { arrival: { ...arrival, at: new Date(arrival.at) } }),
    ...(since !== undefined && { since: new Date(since) }),
    ...(visibleAt !== undefined && { visibleAt: new Date(visibleAt) }),
  };
  return delivery as TracedDelivery;
}

type WireTrace = Wire<MessageTrace>;

/** The same with its times as text. */
type Wire<Value> = Value extends Date
  ? string
  : Value extends object
    ? { [Key in keyof Value]: Wire<Value[Key]> }
    : Value;

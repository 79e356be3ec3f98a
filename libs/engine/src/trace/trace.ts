import type { Database, Transaction } from "@sluice/database";

import { SluiceError } from "../errors.ts";
import { placeOf, timeOf } from "../message/message-ids.ts";
import {
  deliveriesOf,
  isOpen,
  placeSlices,
  type Arrival,
  type Departure,
  type Stay,
} from "./deliveries.ts";
import { findAnywhere, findSlices, type FoundSlice, type Look } from "./find-slices.ts";
import { namesOf, type Names } from "./names.ts";
import { readEvents, recordedSince } from "./read-events.ts";
import { readStored, type Stored } from "./read-stored.ts";

export type DeliveryState =
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
  id: string;
  deleted: boolean;
}

/** The message in one queue; a dead letter and what was redriven are deliveries of their own. */
export interface TracedDelivery {
  /** Null when it was deleted so long ago that its name is forgotten. */
  queue: string | null;
  /** How and when it came there; absent when that is not on record. */
  arrival?: {
    by: "send" | "subscription" | "replay" | "deadLetter" | "redrive";
    at: Date;
    /** Of `subscription` and `replay`. */
    subscription?: TracedSubscription;
    /** Of `deadLetter` and `redrive`: the queue that it came from. */
    from?: string | null;
  };
  state: DeliveryState;
  /** Since when; absent when that is not known. */
  since?: Date;
  /** Of `deadLettered` and `redriven`: the queue that it went to. */
  to?: string | null;
  /** Why it is a dead letter, or became one. */
  reason?: string;
  /** While it is in the queue: how often it was received. */
  receiveCount?: number;
  /** Of `inFlight` and `delayed`: when it is visible (again). */
  visibleAt?: Date;
}

export interface Trace {
  messageId: string;
  /**
   * The topic that it was published to, while that is there and on record; absent for what was sent straight to a
   * queue.
   */
  topic?: string;
  sentAt: Date;
  /** `published`: stored, and waits for its fan-out. */
  state: "published" | "distributed";
  /** In the order of their arrivals. */
  deliveries: TracedDelivery[];
  /** Subscriptions whose filter policy did not accept it. */
  refusals: { subscription: TracedSubscription; at: Date }[];
  /** Since when everything is on record; null when nothing is, and only what is stored now is told. */
  recordedSince: Date | null;
  /** Whether every queue that may have the message was looked at to the end. */
  complete: boolean;
}

/**
 * What became of a message: where it went, and what it is there. What is over is read from the record, what is now from
 * the slices, both in one snapshot.
 *
 * @throws {SluiceError} `message_not_found` when nothing is known of it, or it is that of another account
 */
export async function traceMessage(
  { sql, traceHours }: Pick<Database, "sql" | "traceHours">,
  account: string,
  messageId: string,
): Promise<Trace> {
  const place = placeOf(messageId);
  if (!place) throw messageNotFound(messageId);
  const look = { account, place };
  return await sql.begin("isolation level repeatable read read only", async (tx) => {
    const stored = await readStored(tx, look);
    // The place alone can be made up, the id cannot. Once its payload is gone, place and account are what is left of
    // it.
    if (stored && stored.line !== "" && !stored.line.startsWith(`"messageId":"${messageId}"`))
      throw messageNotFound(messageId);
    const [events, since] =
      traceHours > 0
        ? [
            await readEvents(tx, { ...look, hours: traceHours }),
            await recordedSince(tx, traceHours),
          ]
        : [[], undefined];
    if (events.length === 0 && (!stored || stored.line === "")) throw messageNotFound(messageId);
    const { stays, refused } = deliveriesOf(events);
    const complete = await findResting(tx, look, { stays, stored, since });
    const topicId = stored?.topicId ?? events.find((event) => event.topicId)?.topicId;
    const names = await namesOf(tx, { account, stays, refused, topicId });
    return {
      messageId,
      ...(names.topic !== undefined && { topic: names.topic }),
      sentAt: new Date(stored?.sentAt ?? timeOf(messageId)),
      state: stored?.waits ? "published" : "distributed",
      deliveries: stays.map((stay) => deliveryOf(stay, names)),
      refusals: refused.map(({ subscriptionId, at }) => ({
        subscription: names.subscription(subscriptionId),
        at: new Date(at),
      })),
      recordedSince: since === undefined ? null : new Date(since),
      complete,
    };
  });
}

/**
 * Finds the slices of all deliveries that are not over, and of those that are not on record. @returns Whether all was
 * looked at.
 */
async function findResting(
  tx: Transaction,
  look: Look,
  {
    stays,
    stored,
    since = Infinity,
  }: { stays: Stay[]; stored: Stored | undefined; since: number | undefined },
): Promise<boolean> {
  // What rests somewhere keeps its line.
  if (!stored || stored.line === "" || stored.waits) return true;
  if (stored.sentAt >= since) {
    const { slices, complete } = await findSlices(tx, look, {
      open: stays.filter(isOpen),
      ...stored,
    });
    placeSlices(stays, slices);
    return complete;
  }
  const slices = await findAnywhere(tx, look, stored);
  placeSlices(stays, slices ?? []);
  return slices !== undefined;
}

function deliveryOf(stay: Stay, names: Names): TracedDelivery {
  const { arrival } = stay;
  return {
    queue: names.queue(stay.queueId),
    ...(arrival && { arrival: arrivalOf(arrival, names) }),
    ...stateOf(stay, names),
  };
}

function stateOf({ queueId, departure, slice }: Stay, names: Names): State {
  if (departure) return departureOf(departure, names);
  const deletedAt = names.deletedAt(queueId);
  if (deletedAt !== undefined) {
    // Its slices may still be there; nobody can receive them.
    return { state: "queueDeleted", ...(deletedAt !== null && { since: new Date(deletedAt) }) };
  }
  return slice ? restingOf(slice, names) : { state: "unknown" };
}

function arrivalOf(
  { by, at, subscriptionId, fromQueueId }: Arrival,
  names: Names,
): NonNullable<TracedDelivery["arrival"]> {
  return {
    by,
    at: new Date(at),
    ...(subscriptionId !== undefined && { subscription: names.subscription(subscriptionId) }),
    ...(fromQueueId !== undefined && { from: names.queue(fromQueueId) }),
  };
}

type State = Omit<TracedDelivery, "queue" | "arrival">;

function departureOf({ state, at, toQueueId, reason }: Departure, names: Names): State {
  return {
    state,
    since: new Date(at),
    ...(toQueueId !== undefined && { to: names.queue(toQueueId) }),
    ...(reason !== undefined && { reason }),
  };
}

function restingOf(slice: FoundSlice, names: Names): State {
  const { receiveCount, visibleAt, receivedAt, sentAt, reason } = slice;
  const common = { receiveCount, ...(reason !== undefined && { reason }) };
  const expiresAt = sentAt + names.retentionMs(slice.queueId);
  if (expiresAt <= names.now) return { state: "expired", since: new Date(expiresAt), ...common };
  if (visibleAt <= names.now) return { state: "waiting", since: new Date(visibleAt), ...common };
  const hidden = { visibleAt: new Date(visibleAt), ...common };
  return receiveCount > 0
    ? {
        state: "inFlight",
        ...(receivedAt !== undefined && { since: new Date(receivedAt) }),
        ...hidden,
      }
    : { state: "delayed", ...(sentAt < visibleAt && { since: new Date(sentAt) }), ...hidden };
}

function messageNotFound(messageId: string): SluiceError {
  return new SluiceError("message_not_found", `nothing is known of a message "${messageId}"`);
}

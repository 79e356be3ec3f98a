import type { FoundSlice } from "./find-slices.ts";
import type { MessageEvent } from "./read-events.ts";

/** How a message came to a queue. */
export interface Arrival {
  by: "send" | "subscription" | "replay" | "deadLetter" | "redrive";
  at: number;
  subscriptionId?: string | undefined;
  /** The queue that it came from. */
  fromQueueId?: string | undefined;
  sequence?: string | undefined;
  /** See MessageEvent. */
  visible: { from: string | undefined; until: string };
}

export interface Departure {
  state: "acknowledged" | "deadLettered" | "redriven" | "expired" | "purged" | "cancelled";
  at: number;
  toQueueId?: string | undefined;
  reason?: string | undefined;
}

/** One delivery: the message in one queue. What is on record of it, and where it rests now. */
export interface Stay {
  queueId: string;
  arrival?: Arrival;
  departure?: Departure;
  slice?: FoundSlice;
}

export interface Refused {
  subscriptionId: string;
  at: number;
}

/**
 * Puts events together to deliveries, in the order of their arrivals. A queue can have a message several times
 * (replayed, or as a dead letter of two queues): what leaves it is then the one at the same place of a FIFO queue, else
 * the one that came first.
 */
export function deliveriesOf(events: readonly MessageEvent[]): {
  stays: Stay[];
  refused: Refused[];
} {
  const stays: Stay[] = [];
  const refused: Refused[] = [];
  for (const event of events) {
    const { kind, at, queueId, toQueueId, subscriptionId } = event;
    if (queueId === null) continue;
    const place = { at, sequence: event.sequence, visible: event.visible };
    switch (kind) {
      case "sent":
      case "fannedOut":
      case "replayed":
        stays.push({ queueId, arrival: { by: ARRIVALS[kind], subscriptionId, ...place } });
        break;
      case "refused":
        if (subscriptionId !== undefined) refused.push({ subscriptionId, at });
        break;
      case "acknowledged":
      case "expired":
      case "purged":
      case "cancelled":
        openStay(stays, queueId, event.sequence).departure = { state: kind, at };
        break;
      case "deadLettered":
      case "redriven":
        openStay(stays, queueId).departure = { state: kind, at, toQueueId, reason: event.reason };
        if (toQueueId !== undefined)
          stays.push({
            queueId: toQueueId,
            arrival: { by: ARRIVALS[kind], fromQueueId: queueId, ...place },
          });
        break;
      default:
        kind satisfies never;
    }
  }
  return { stays, refused };
}

const ARRIVALS = {
  sent: "send",
  fannedOut: "subscription",
  replayed: "replay",
  deadLettered: "deadLetter",
  redriven: "redrive",
} as const;

/** Says of each slice which delivery it is. One that no arrival is on record of is a delivery all the same. */
export function placeSlices(stays: Stay[], slices: readonly FoundSlice[]): void {
  for (const slice of slices) openStay(stays, slice.queueId, slice.sequence).slice = slice;
}

/** The delivery in a queue that nothing is known of since its arrival; a new one when there is none. */
function openStay(stays: Stay[], queueId: string, sequence?: string): Stay {
  const open = stays.filter((stay) => stay.queueId === queueId && isOpen(stay));
  const there = sequence !== undefined && open.find((stay) => stay.arrival?.sequence === sequence);
  const stay = there || open[0];
  if (stay) return stay;
  const unknown: Stay = { queueId };
  stays.push(unknown);
  return unknown;
}

export function isOpen({ departure, slice }: Stay): boolean {
  return departure === undefined && slice === undefined;
}

import { describe, expect, test } from "vitest";

import { deliveriesOf, isOpen, placeSlices } from "./deliveries.ts";
import type { FoundSlice } from "./find-slices.ts";
import type { MessageEvent } from "./read-events.ts";

let now = 0;

function event(kind: MessageEvent["kind"], details: Partial<MessageEvent> = {}): MessageEvent {
  now += 1;
  return {
    kind,
    at: now,
    queueId: "1",
    toQueueId: undefined,
    topicId: undefined,
    subscriptionId: undefined,
    sequence: undefined,
    reason: undefined,
    visible: { from: undefined, until: "" },
    ...details,
  };
}

function slice(queueId: string, sequence?: string): FoundSlice {
  const times = { visibleAt: 0, sentAt: 0, receivedAt: undefined };
  return {
    queueId,
    sequence,
    receiveCount: 0,
    ...times,
    sourceQueueId: undefined,
    reason: undefined,
  };
}

function statesOf(events: readonly MessageEvent[]) {
  return deliveriesOf(events).stays.map(({ queueId, departure }) => [queueId, departure?.state]);
}

describe("of a queue that has a message twice", () => {
  test("what leaves is the one that came first", () => {
    const replayed = [event("fannedOut"), event("replayed"), event("acknowledged")];
    expect(statesOf(replayed)).toEqual([
      ["1", "acknowledged"],
      ["1", undefined],
    ]);
  });

  test("what leaves a FIFO queue is the one at that place", () => {
    const events = [
      event("fannedOut", { sequence: "5" }),
      event("replayed", { sequence: "9" }),
      event("acknowledged", { sequence: "9" }),
    ];
    expect(statesOf(events)).toEqual([
      ["1", undefined],
      ["1", "acknowledged"],
    ]);
    const { stays } = deliveriesOf(events);
    placeSlices(stays, [slice("1", "5")]);
    expect(stays.filter(isOpen)).toEqual([]);
  });
});

test("a dead letter that is redriven comes to three queues", () => {
  const events = [
    event("sent"),
    event("deadLettered", { toQueueId: "2" }),
    event("redriven", { queueId: "2", toQueueId: "1" }),
    event("expired"),
  ];
  expect(statesOf(events)).toEqual([
    ["1", "deadLettered"],
    ["2", "redriven"],
    ["1", "expired"],
  ]);
});

test("what leaves a queue, or is in it, without an arrival on record has a delivery all the same", () => {
  const { stays } = deliveriesOf([event("purged", { queueId: "3" })]);
  placeSlices(stays, [slice("4")]);
  expect(stays).toEqual([
    { queueId: "3", departure: { state: "purged", at: now } },
    { queueId: "4", slice: slice("4") },
  ]);
});

test("a batch that nobody was subscribed to has no deliveries, and refusals name who was", () => {
  const events = [event("refused", { queueId: null }), event("refused", { subscriptionId: "s" })];
  expect(deliveriesOf(events)).toEqual({ stays: [], refused: [{ subscriptionId: "s", at: now }] });
});

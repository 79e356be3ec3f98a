import type { ReceivedSlice } from "@sluice/engine";
import { expect, test } from "vitest";

import { messagesJson, receiptsJson } from "./receive.ts";

const slice: ReceivedSlice = {
  lines: [
    '"messageId":"1","body":"a","attributes":{}',
    '"messageId":"2","body":"b \\" }","attributes":{}',
  ],
  bits: [0, 62],
  json: undefined,
  batch: undefined,
  handlePrefix: "prefix-",
  receiveCount: 3,
  sentAt: Date.UTC(2026, 10, 23),
  firstReceivedAt: Date.UTC(2026, 10, 24) + 0.042,
  deadLetter: undefined,
  replayed: false,
};

test("nothing received is an empty list", () => {
  expect(messagesJson([])).toBe('{"messages":[]}');
});

test("each line becomes a message with what its slice shares and a handle of its own", () => {
  const shared = {
    receiveCount: 3,
    sentAt: "2026-11-23T00:00:00.000Z",
    firstReceivedAt: "2026-11-24T00:00:00.000Z",
    attributes: {},
  };
  expect(
    JSON.parse(messagesJson([slice, { ...slice, bits: [1, 2], handlePrefix: "other-" }])),
  ).toEqual({
    messages: [
      { ...shared, receiptHandle: "prefix-A", messageId: "1", body: "a" },
      { ...shared, receiptHandle: "prefix--", messageId: "2", body: 'b " }' },
      { ...shared, receiptHandle: "other-B", messageId: "1", body: "a" },
      { ...shared, receiptHandle: "other-C", messageId: "2", body: 'b " }' },
    ],
  });
});

test("nothing received is an empty list of receipts", () => {
  expect(receiptsJson([]).toString()).toBe('{"receipts":[]}');
});

test("a receipt has what its messages share once, the first receive in microseconds, and says which they are", () => {
  const shared = {
    receiveCount: 3,
    sentAt: "2026-11-23T00:00:00.000Z",
    firstReceivedAt: "2026-11-24T00:00:00.000042Z",
  };
  const messages = [
    { messageId: "1", body: "a", attributes: {} },
    { messageId: "2", body: 'b " }', attributes: {} },
  ];
  const whole = Buffer.from('{"messageId":"1"}');
  expect(
    JSON.parse(
      receiptsJson(
        [
          slice,
          { ...slice, bits: [1, 31], handlePrefix: "other-" },
          { ...slice, bits: [0], json: whole },
          { ...slice, bits: Array.from({ length: 63 }, (_, bit) => bit) },
        ],
        undefined,
        1_234,
      ).toString(),
    ),
  ).toEqual({
    waitedMs: 1_234,
    receipts: [
      { ...shared, receipt: "prefix-", bits: "4000000000000001", messages },
      { ...shared, receipt: "other-", bits: "80000002", messages },
      { ...shared, receipt: "prefix-", bits: "1", messages: [{ messageId: "1" }] },
      { ...shared, receipt: "prefix-", bits: "7fffffffffffffff", messages },
    ],
  });
});

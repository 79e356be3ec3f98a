import fc from "fast-check";
import { expect, test } from "vitest";

import { newCallStamp, placeOf } from "../message/message-ids.ts";
import { decodeStoredCall, encodeStoredCall, messagesOf } from "./stored-call.ts";

const run = fc
  .record({
    batchId: fc.nat({ max: 2 ** 48 - 1 }).map(String),
    firstBit: fc.integer({ min: 0, max: 62 }),
    count: fc.integer({ min: 1, max: 63 }),
  })
  .filter(({ firstBit, count }) => firstBit + count <= 63);

test("what a key remembers of a call tells the same ids again", () => {
  fc.assert(
    fc.property(fc.array(run, { minLength: 1, maxLength: 20 }), (runs) => {
      const call = { stamp: newCallStamp(), runs };
      const again = decodeStoredCall(encodeStoredCall(call));
      expect(again).toEqual(call);
      expect(messagesOf(again)).toEqual(messagesOf(call));
    }),
  );
});

test("the ids of a call name its places in order", () => {
  const runs = [
    { batchId: "7", firstBit: 61, count: 2 },
    { batchId: "8", firstBit: 0, count: 1 },
  ];
  expect(
    messagesOf({ stamp: newCallStamp(), runs }).map(({ messageId }) => placeOf(messageId)),
  ).toEqual([
    { batchId: "7", bit: 61 },
    { batchId: "7", bit: 62 },
    { batchId: "8", bit: 0 },
  ]);
});

import fc from "fast-check";
import { expect, test } from "vitest";
import type { Change } from "../bus.ts";
import { decodeChange, decodeIds, encodeChange, encodeIds } from "./wire.ts";

const id = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }).map(String);

test("ids arrive as they were sent, and no message is over the limit", () => {
  fc.assert(
    fc.property(fc.array(id, { minLength: 1 }), fc.integer({ min: 20, max: 200 }), (ids, limit) => {
      const messages = encodeIds(ids, limit);
      expect(Math.max(...messages.map((text) => text.length))).toBeLessThanOrEqual(limit);
      expect(messages.flatMap((text) => decodeIds(text))).toEqual(ids);
    }),
  );
});

test("no ids are no message", () => {
  expect(encodeIds([], 1_000)).toEqual([]);
});

test("what is not an id is left out", () => {
  expect(decodeIds("1,,-2,0x3,4e5,12345678901234567890,;drop,6")).toEqual(["1", "6"]);
  expect(decodeIds("")).toBeUndefined();
});

test("a number that no bigint holds is no id, and the ids beside it arrive", () => {
  expect(decodeIds("1,9223372036854775807,9223372036854775808,9999999999999999999,6")).toEqual([
    "1",
    "9223372036854775807",
    "6",
  ]);
});

test("changes arrive as they were sent", () => {
  const kind = fc.constantFrom<Change["kind"]>("topic", "queue", "subscriptions");
  fc.assert(
    fc.property(fc.record({ kind, account: id, name: fc.string() }), (change) => {
      expect(decodeChange(encodeChange(change))).toEqual(change);
    }),
  );
});

test.each([
  "",
  "null",
  "[]",
  "{",
  '"topic"',
  '{"kind":"topic"}',
  '{"kind":"x","account":"1","name":"a"}',
])("%j is no change", (text) => {
  expect(decodeChange(text)).toBeUndefined();
});

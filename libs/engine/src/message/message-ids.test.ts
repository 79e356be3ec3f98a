import fc from "fast-check";
import { expect, test } from "vitest";

import { messageIdOf, newCallStamp, placeOf } from "./message-ids.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const place = fc.record({
  batchId: fc.nat({ max: 2 ** 48 - 1 }).map(String),
  bit: fc.integer({ min: 0, max: 62 }),
});

test("an id is a UUIDv7 that says where its message is stored", () => {
  fc.assert(
    fc.property(place, (where) => {
      const id = messageIdOf(newCallStamp(), where);
      expect(id).toMatch(UUID_V7);
      expect(placeOf(id)).toEqual(where);
    }),
  );
});

test("different places have different ids, also within one call", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(place, { selector: (one) => `${one.batchId}/${one.bit}` }),
      (places) => {
        const stamp = newCallStamp();
        expect(new Set(places.map((one) => messageIdOf(stamp, one))).size).toBe(places.length);
      },
    ),
  );
});

test("an id begins with the time it was made", () => {
  const before = Date.now();
  const id = messageIdOf(newCallStamp(), { batchId: "1", bit: 0 });
  const at = Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16);
  expect(at).toBeGreaterThanOrEqual(before);
  expect(at).toBeLessThanOrEqual(Date.now());
});

test.each([
  "",
  "not an id",
  "01a2078b-c2e1-42d7-9042-ec947fffffff",
  "01A2078B-C2E1-72D7-9042-EC947FFFFFFF",
  "01a2078b-c2e1-72d7-bf42-ec947fffffff",
])("%j is no id of ours", (text) => {
  expect(placeOf(text)).toBeUndefined();
});

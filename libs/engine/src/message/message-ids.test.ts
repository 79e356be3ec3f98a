import { expect, test } from "vitest";

import { firstMessageId, messageIdAt } from "./message-ids.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("the ids of a call are UUIDv7, distinct, and in the order of its messages", () => {
  for (let call = 0; call < 200; call += 1) {
    const first = firstMessageId();
    const ids = Array.from({ length: 1_000 }, (_, index) => messageIdAt(first, index));
    expect(ids[0]).toBe(first);
    for (const id of ids) expect(id).toMatch(UUID_V7);
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(1_000);
  }
});

test("the last of a thousand fits whatever the random bits are", () => {
  const first = "01a2078b-c2e1-72d7-9042-ec947fffffff";
  expect(messageIdAt(first, 999)).toBe("01a2078b-c2e1-72d7-9042-ec94800003e6");
});

test("calls have ids of their own", () => {
  const ids = new Set(
    Array.from({ length: 2_000 }, () => firstMessageId()).flatMap((first) => [
      first,
      messageIdAt(first, 1),
      messageIdAt(first, 999),
    ]),
  );
  expect(ids.size).toBe(6_000);
});

test("an id begins with the time it was made", () => {
  const before = Date.now();
  const at = Number.parseInt(firstMessageId().replaceAll("-", "").slice(0, 12), 16);
  expect(at).toBeGreaterThanOrEqual(before);
  expect(at).toBeLessThanOrEqual(Date.now());
});

import { expect, test } from "vitest";

import { growthOf, type Look } from "./growth.ts";

const MIB = 2 ** 20;

/** A look every 20 s for half an hour. */
function looksAt(usedAt: (minutes: number, index: number) => number): Look[] {
  return Array.from({ length: 90 }, (_, index) => ({
    at: index * 20,
    used: usedAt(index / 3, index) * MIB,
    resident: 0,
  }));
}

test("caches that fill in the beginning are no growth", () => {
  const { grows, hourly } = growthOf(looksAt((minutes) => 40 + Math.min(minutes, 9) * 7));
  expect(grows).toBe(false);
  expect(hourly).toBe(0);
});

test("what differs from look to look is none either", () => {
  expect(growthOf(looksAt((_, index) => 100 + (index % 7) * 4)).grows).toBe(false);
  // A look in the middle of a large answer.
  expect(growthOf(looksAt((_, index) => (index % 20 === 19 ? 400 : 100))).grows).toBe(false);
});

test("a little with each call is: 60 MiB an hour", () => {
  const { grows, hourly, first, last } = growthOf(
    looksAt((minutes, index) => 100 + minutes + (index % 3)),
  );
  expect(grows).toBe(true);
  expect(hourly / MIB).toBeCloseTo(60, -1);
  expect(last - first).toBeGreaterThan(12 * MIB);
});

test("so is what grows in steps, and what grows late", () => {
  expect(growthOf(looksAt((minutes) => 60 + Math.floor(minutes / 8) * 10)).grows).toBe(true);
  expect(growthOf(looksAt((minutes) => (minutes > 22 ? 90 : 60))).grows).toBe(true);
});

test("two looks are enough to say something", () => {
  expect(growthOf(looksAt(() => 50).slice(0, 2)).grows).toBe(false);
});

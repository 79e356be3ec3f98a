import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { ScanFloor } from "./scan-floor.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"], now: 0 }));
afterEach(() => void vi.useRealTimers());

const T0 = 1_000_000;

test("nothing is known at first, and after the first claim little less than what it saw", () => {
  const floor = new ScanFloor();
  expect(floor.start).toBe(-Infinity);
  floor.advance({ now: T0, first: 5_000 }, 1);
  expect(floor.start).toBe(5_000 - 1_500);
});

test("it follows the claims of a quiet queue by a second and a half", () => {
  const floor = new ScanFloor();
  for (let ms = 0; ms <= 10_000; ms += 500) floor.advance({ now: T0 + ms, first: undefined }, 0);
  expect(floor.start).toBe(T0 + 8_000);
});

test("it follows those of a busy queue by a few hundred slices, but never by less than a tenth of a second", () => {
  const floor = new ScanFloor();
  for (let ms = 0; ms <= 1_000; ms += 50) floor.advance({ now: T0 + ms, first: undefined }, 500);
  expect(floor.start).toBeGreaterThanOrEqual(T0 + 800);
  expect(floor.start).toBeLessThanOrEqual(T0 + 900);
});

test("it stays at the first message of a backlog for as long as that is found", () => {
  const floor = new ScanFloor();
  for (let ms = 0; ms <= 5_000; ms += 100) floor.advance({ now: T0 + ms, first: 7_000 }, 0);
  expect(floor.start).toBe(7_000);
});

test("a message that is about to become visible does not lift it above the present", () => {
  const floor = new ScanFloor();
  for (let ms = 0; ms <= 5_000; ms += 100) {
    floor.advance({ now: T0 + ms, first: T0 + ms + 1_000 }, 0);
  }
  expect(floor.start).toBeLessThan(T0 + 5_000 - 1_500);
});

test("a straggler lowers it until claims have passed it, whatever a claim that is under way reports", () => {
  const floor = new ScanFloor();
  for (let ms = 0; ms <= 5_000; ms += 100) floor.advance({ now: T0 + ms, first: undefined }, 0);
  floor.lower(T0 - 60_000, T0 + 5_050);
  const before = T0 + 3_500;
  floor.advance({ now: T0 + 5_040, first: undefined }, 300, before);
  expect(floor.start).toBe(T0 - 60_000);
  for (let ms = 5_100; ms <= 7_000; ms += 100) floor.advance({ now: T0 + ms, first: undefined }, 0);
  expect(floor.start).toBeGreaterThan(T0);
});

test("near is where it was ten seconds ago", () => {
  const floor = new ScanFloor();
  for (let second = 0; second <= 30; second += 1) {
    floor.advance({ now: T0 + second * 1_000, first: undefined }, 0);
    floor.note();
    if (second === 9) expect(floor.near).toBe(T0 - 11_500);
    vi.advanceTimersByTime(1_000);
  }
  expect(floor.near).toBeLessThanOrEqual(T0 + 20_000);
  expect(floor.near).toBeGreaterThan(T0 + 15_000);
});

test("near comes up to where the scan starts when nothing moves any more", () => {
  const floor = new ScanFloor();
  const pass = (seconds: number) => {
    for (let second = 0; second < seconds; second += 1) {
      floor.note();
      vi.advanceTimersByTime(1_000);
    }
  };
  floor.advance({ now: T0, first: undefined }, 0);
  pass(3);
  floor.advance({ now: T0 + 3_000, first: undefined }, 0);
  floor.advance({ now: T0 + 5_000, first: undefined }, 0);
  pass(9);
  expect(floor.near).toBeLessThan(floor.start);
  pass(4);
  expect(floor.near).toBe(floor.start);
});

test("a clock that was put back makes it forget what it knew", () => {
  const floor = new ScanFloor();
  for (let ms = 0; ms <= 5_000; ms += 100) floor.advance({ now: T0 + ms, first: undefined }, 0);
  floor.advance({ now: T0 - 3_600_000, first: undefined }, 0);
  expect(floor.start).toBeLessThan(T0 - 3_600_000);
  expect(floor.near).toBeLessThan(floor.start);
});

test("a claim that was under way when it was forgotten says nothing", () => {
  const floor = new ScanFloor();
  for (let ms = 0; ms <= 5_000; ms += 100) floor.advance({ now: T0 + ms, first: undefined }, 0);
  const from = floor.start;
  floor.forget();
  floor.advance({ now: T0 + 5_100, first: undefined }, 0, from);
  expect(floor.start).toBe(-Infinity);
});

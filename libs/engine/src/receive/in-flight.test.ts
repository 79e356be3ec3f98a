import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { InFlight, MAX_IN_FLIGHT } from "./in-flight.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("one count that met a standstill keeps the room that comes free elsewhere from being found for ten seconds", async () => {
  let held = MAX_IN_FLIGHT;
  const inFlight = new InFlight(() => {
    vi.advanceTimersByTime(5_000);
    return Promise.resolve({ messages: held, noisy: [] });
  });
  inFlight.claimed(1_000, false);
  expect(await inFlight.room()).toBe(0);
  held = MAX_IN_FLIGHT - 7;
  vi.advanceTimersByTime(9_900);
  expect(await inFlight.room()).toBe(0);
  vi.advanceTimersByTime(200);
  expect(await inFlight.room()).toBe(7);
});

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Standstill } from "./standstill.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test.each([0, 1_000, 7_499])(
  "is found after a whole term, and a quarter at most, from a move at %d ms",
  (movedAt) => {
    const found = vi.fn();
    const standstill = new Standstill(30_000, found);
    vi.advanceTimersByTime(movedAt);
    standstill.moved();
    vi.advanceTimersByTime(30_000);
    expect([standstill.lasts, found.mock.calls.length]).toEqual([false, 0]);
    vi.advanceTimersByTime(7_500);
    expect([standstill.lasts, found.mock.calls.length]).toEqual([true, 1]);
    vi.advanceTimersByTime(7_500);
    expect(found).toHaveBeenCalledTimes(2);
    standstill.moved();
    expect(standstill.lasts).toBe(false);
    standstill.stop();
    expect(vi.getTimerCount()).toBe(0);
  },
);

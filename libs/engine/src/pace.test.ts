import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Pace } from "./pace.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

test("work that takes long is due the later", async () => {
  const pace = new Pace(1_000, { share: 0.1 });
  expect(pace.isDue).toBe(true);
  await pace.run(() => Promise.resolve(vi.advanceTimersByTime(500)));
  vi.advanceTimersByTime(4_999);
  expect(pace.isDue).toBe(false);
  vi.advanceTimersByTime(1);
  expect(pace.isDue).toBe(true);
});

test("what had to be done anyhow is not counted", async () => {
  const pace = new Pace(1_000, { share: 0.1 });
  const work = () => Promise.resolve(vi.advanceTimersByTime(5_000));
  await pace.run(work, () => 4_500);
  vi.advanceTimersByTime(4_999);
  expect(pace.isDue).toBe(false);
  vi.advanceTimersByTime(1);
  expect(pace.isDue).toBe(true);
});

test("quick work is due again after the shortest time, also when it fails", async () => {
  const pace = new Pace(1_000, { share: 0.1 });
  await expect(pace.run(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  vi.advanceTimersByTime(999);
  expect(pace.isDue).toBe(false);
  vi.advanceTimersByTime(1);
  expect(pace.isDue).toBe(true);
});

test("the shortest time is counted from the start of a run", async () => {
  const pace = new Pace(1_000, { share: 0.5 });
  await pace.run(() => Promise.resolve(vi.advanceTimersByTime(100)));
  vi.advanceTimersByTime(899);
  expect(pace.isDue).toBe(false);
  vi.advanceTimersByTime(1);
  expect(pace.isDue).toBe(true);
});

test("work is due after the longest time, whatever it costs, and at once when it is told so", async () => {
  const pace = new Pace(1_000, { share: 0.1, atMostMs: 3_000 });
  await pace.run(() => Promise.resolve(vi.advanceTimersByTime(5_000)));
  vi.advanceTimersByTime(2_999);
  expect(pace.isDue).toBe(false);
  vi.advanceTimersByTime(1);
  expect(pace.isDue).toBe(true);
  await pace.run(() => Promise.resolve(vi.advanceTimersByTime(5_000)));
  pace.reset();
  expect(pace.isDue).toBe(true);
});

/** How long it is until a run is due after one of five seconds that failed. */
async function pauseAfter(pace: Pace, error: Error): Promise<number> {
  const fail = async () => {
    vi.advanceTimersByTime(5_000);
    return await Promise.reject(error);
  };
  await expect(pace.run(fail)).rejects.toThrow(error);
  const failedAt = performance.now();
  while (!pace.isDue) vi.advanceTimersByTime(100);
  return performance.now() - failedAt;
}

test("runs that fail may count as long as they took, however many there are in a row", async () => {
  const pace = new Pace(1_000, { share: 0.1, forgivesOne: true });
  for (let run = 0; run < 3; run += 1) expect(await pauseAfter(pace, new Error("no"))).toBe(5_000);
});

test("of runs that Postgres cancels each counts twice as long as the one before, up to a bound", async () => {
  const pace = new Pace(1_000, { share: 0.1, forgivesOne: true });
  const cancelled = Object.assign(new Error("it took too long"), { code: "57014" });
  for (const ms of [5_000, 10_000, 20_000, 40_000, 40_000])
    expect(await pauseAfter(pace, cancelled)).toBe(ms);
  await pace.run(() => Promise.resolve());
  expect(await pauseAfter(pace, cancelled)).toBe(5_000);
  expect(await pauseAfter(pace, new Error("no"))).toBe(5_000);
  expect(await pauseAfter(pace, cancelled)).toBe(5_000);
});

test("one run that takes long by itself may be forgiven, and two in a row are not", async () => {
  const pace = new Pace(1_000, { share: 0.1, forgivesOne: true });
  const take = async (ms: number) =>
    await pace.run(() => Promise.resolve(vi.advanceTimersByTime(ms)));
  await take(5_000);
  expect(pace.isDue).toBe(true);
  await take(10);
  vi.advanceTimersByTime(990);
  await take(5_000);
  vi.advanceTimersByTime(100);
  expect(pace.isDue).toBe(true);
  await take(5_000);
  vi.advanceTimersByTime(49_999);
  expect(pace.isDue).toBe(false);
  vi.advanceTimersByTime(1);
  expect(pace.isDue).toBe(true);
});

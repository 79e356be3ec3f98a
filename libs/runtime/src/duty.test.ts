import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createDuty, type Duty, type DutyOptions } from "./duty.ts";
import { createLogger } from "./log/logger.ts";

const lines: string[] = [];
const logger = createLogger({
  name: "dispatcher",
  stream: { write: (line) => void lines.push(line) },
});
let duty: Duty;

const begin = (runOnce: DutyOptions["runOnce"]) => {
  duty = createDuty({ name: "sweeper", intervalMs: 1_000, runOnce, logger });
  duty.start();
};

beforeEach(() => {
  vi.useFakeTimers();
  lines.length = 0;
});

afterEach(async () => {
  await duty.stop();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

test("a duty runs at once and then after each pause", async () => {
  const runOnce = vi.fn(async () => {});
  begin(runOnce);
  expect(runOnce).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(999);
  expect(runOnce).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(101);
  expect(runOnce).toHaveBeenCalledTimes(2);
});

test("whoever starts it is told of each run that fails", async () => {
  let failed = 0;
  const runOnce = vi.fn(async () => {
    throw new Error("the database is away");
  });
  duty = createDuty({ name: "sweeper", intervalMs: 1_000, runOnce, logger });
  duty.start(() => (failed += 1));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(failed).toBe(runOnce.mock.calls.length);
  expect(failed).toBeGreaterThan(2);
});

test("starting it twice makes one duty", async () => {
  const runOnce = vi.fn(async () => {});
  begin(runOnce);
  duty.start();
  await vi.advanceTimersByTimeAsync(0);
  expect(runOnce).toHaveBeenCalledTimes(1);
});

test("runs never overlap, however often it is poked", async () => {
  let running = 0;
  let most = 0;
  const runOnce = vi.fn(async () => {
    most = Math.max(most, ++running);
    await new Promise((done) => setTimeout(done, 5_000));
    running -= 1;
  });
  begin(runOnce);
  for (let i = 0; i < 20; i++) {
    duty.poke();
    await vi.advanceTimersByTimeAsync(1_000);
  }
  expect(most).toBe(1);
  expect(runOnce.mock.calls.length).toBeGreaterThanOrEqual(4);
  const stopped = duty.stop();
  await vi.advanceTimersByTimeAsync(5_000);
  await stopped;
});

test("a poke ends the pause", async () => {
  const runOnce = vi.fn(async () => {});
  begin(runOnce);
  await vi.advanceTimersByTimeAsync(10);
  duty.poke();
  expect(runOnce).toHaveBeenCalledTimes(2);
});

test("a poke before the start is not a start", () => {
  const runOnce = vi.fn(async () => {});
  duty = createDuty({ name: "sweeper", intervalMs: 1_000, runOnce, logger });
  duty.poke();
  expect(runOnce).not.toHaveBeenCalled();
});

test("a run that found more to do is followed by the next at once", async () => {
  const outcomes = ["again", "again", "done"];
  const runOnce = vi.fn(async () => outcomes.shift());
  begin(runOnce);
  await vi.advanceTimersByTimeAsync(10);
  expect(runOnce).toHaveBeenCalledTimes(3);
});

describe("a run that fails", () => {
  test("is logged, and the duty backs off up to its limit", async () => {
    const runOnce = vi.fn(async () => {
      throw new Error("no database");
    });
    begin(runOnce);
    await vi.advanceTimersByTimeAsync(60_000);
    const runs = runOnce.mock.calls.length;
    expect(runs).toBeGreaterThanOrEqual(12);
    expect(runs).toBeLessThanOrEqual(27);
    expect(lines[0]).toContain('"event":"duty.failed"');
    expect(lines[0]).toContain("no database");
  });

  test("is not repeated by pokes before its time", async () => {
    const runOnce = vi.fn(async () => {
      throw new Error("no database");
    });
    begin(runOnce);
    await vi.advanceTimersByTimeAsync(1);
    for (let i = 0; i < 100; i++) duty.poke();
    await vi.advanceTimersByTimeAsync(1);
    expect(runOnce).toHaveBeenCalledTimes(1);
  });

  test("is followed by runs at the usual pace once they succeed", async () => {
    let failures = 3;
    const runOnce = vi.fn(async () => {
      if (failures-- > 0) throw new Error("no database");
    });
    begin(runOnce);
    await vi.advanceTimersByTimeAsync(10_000);
    runOnce.mockClear();
    await vi.advanceTimersByTimeAsync(11_000);
    expect(runOnce.mock.calls.length).toBeGreaterThanOrEqual(10);
  });
});

describe("stop", () => {
  test("waits for the run and tells it to end early", async () => {
    const events: string[] = [];
    begin(async (signal) => {
      await new Promise((done) => signal.addEventListener("abort", done));
      events.push("run ended");
    });
    await duty.stop();
    events.push("stopped");
    expect(events).toEqual(["run ended", "stopped"]);
  });

  test("lets no run begin afterwards", async () => {
    const runOnce = vi.fn(async () => {});
    begin(runOnce);
    await duty.stop();
    duty.poke();
    duty.start();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(runOnce).toHaveBeenCalledTimes(1);
  });
});

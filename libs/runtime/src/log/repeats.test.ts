import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createLogger } from "./logger.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

interface Line {
  event: string;
  repeated?: number;
  err: { message: string; stack?: string };
}

function capture() {
  const lines: Line[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as Line);
  return { lines, logger: createLogger({ name: "api", stream: { write } }) };
}

const denied = () => Object.assign(new Error("permission denied"), { code: "42501" });
const failuresIn = (lines: readonly Line[]) =>
  lines.reduce((sum, { repeated = 1 }) => sum + repeated, 0);

test("of many errors that are alike the first have a line each, and the others one", () => {
  const { lines, logger } = capture();
  for (let n = 0; n < 574; n += 1) logger.error({ event: "request.failed", err: denied() });
  expect(lines).toHaveLength(5);
  for (const { err } of lines) expect(err.stack).toContain("repeats.test.ts");
  vi.advanceTimersByTime(60_000);
  expect(lines).toHaveLength(6);
  expect(lines.at(-1)).toMatchObject({ repeated: 569, err: { message: "permission denied" } });
  vi.advanceTimersByTime(600_000);
  expect(lines).toHaveLength(6);
});

test("after a minute the first ones have lines of their own again", () => {
  const { lines, logger } = capture();
  for (let minute = 0; minute < 3; minute += 1) {
    for (let n = 0; n < 5; n += 1) logger.error({ event: "request.failed", err: denied() });
    vi.advanceTimersByTime(60_000);
  }
  expect(lines).toHaveLength(15);
  expect(lines.filter(({ repeated }) => repeated !== undefined)).toEqual([]);
});

test("errors that differ by more than numbers are told apart", () => {
  const { lines, logger } = capture();
  const caused = (message: string) => new Error("failed query", { cause: new Error(message) });
  for (let n = 0; n < 10; n += 1) {
    logger.error({ event: "request.failed", err: caused(`row ${n} of 8a3f-${n} is locked`) });
    logger.error({ event: "request.failed", err: caused("permission denied") });
    logger.error({ event: "duty.failed", err: caused("permission denied") }, "sweeper failed");
    logger.error({ event: "duty.failed", err: caused("permission denied") }, "ledger failed");
    logger.error({ event: "request.failed", err: new TypeError("permission denied") });
    logger.error({ event: "request.failed", err: new TypeError("permission denied") });
  }
  // The last two came from different places.
  expect(lines).toHaveLength(6 * 5);
  vi.advanceTimersByTime(60_000);
  expect(failuresIn(lines)).toBe(60);
});

test("however many kinds there are, lines are bounded and no error is left out", () => {
  const { lines, logger } = capture();
  const word = (n: number) => String.fromCharCode(...[...`${n}`].map((digit) => 110 + +digit));
  for (let n = 0; n < 2_000; n += 1)
    logger.error({ event: "request.failed", err: new Error(`no ${word(n)}`) });
  vi.advanceTimersByTime(60_000);
  expect(lines.length).toBeLessThan(110);
  expect(failuresIn(lines)).toBe(2_000);
});

test("what is fatal, and lines without an error, are written each time", () => {
  const { lines, logger } = capture();
  for (let n = 0; n < 20; n += 1) {
    logger.fatal({ event: "process.crashed", err: denied() });
    logger.info({ event: "api.listening" });
  }
  expect(lines).toHaveLength(40);
});

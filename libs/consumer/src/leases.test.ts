import { SluiceError } from "@sluice/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HeldMessage } from "./held-message.ts";
import type { Holder } from "./held-message.ts";
import { Leases } from "./leases.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const nobody: Holder = {
  acknowledge: () => Promise.resolve(),
  release: () => Promise.resolve(),
  extend: () => Promise.resolve(),
};

/** Leases of 30 s that note what they extend, and when. */
function setUp({ autoExtend = true } = {}) {
  const started = performance.now();
  const extended: { at: number; ids: string[] }[] = [];
  const answers: boolean[] = [];
  const leases = new Leases({
    termMs: 30_000,
    autoExtend,
    extend: (messages) => {
      extended.push({ at: performance.now() - started, ids: messages.map(({ id }) => id) });
      return Promise.resolve(answers.shift() ?? true);
    },
  });
  const receive = (...ids: string[]) => {
    const lease = leases.begin(nobody);
    return ids.map((messageId) => {
      const wire = { messageId, body: "", attributes: {} };
      const common = { receipt: messageId, receiveCount: 1, sentAt: "", firstReceivedAt: "" };
      const message = new HeldMessage(wire, { ...common, bits: "1", messages: [wire] }, 0, lease);
      lease.add(message);
      return message;
    });
  };
  return { leases, receive, extended, answers };
}

test("what is held at half of the timeout is extended, again and again", async () => {
  const { receive, extended } = setUp();
  const [, second] = receive("a", "b");
  await vi.advanceTimersByTimeAsync(15_000);
  await second!.ack();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(extended).toEqual([
    { at: 15_000, ids: ["a", "b"] },
    { at: 30_000, ids: ["a"] },
    { at: 45_000, ids: ["a"] },
  ]);
});

test("what is settled before that costs no call and ends the timer", async () => {
  const { receive, extended } = setUp();
  const [a, b] = receive("a", "b");
  await a!.ack();
  await b!.release();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(extended).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});

test("receives close to each other are extended by one call", async () => {
  const { receive, extended } = setUp();
  receive("a");
  await vi.advanceTimersByTimeAsync(1_000);
  receive("b");
  await vi.advanceTimersByTimeAsync(9_000);
  receive("c");
  await vi.advanceTimersByTimeAsync(15_000);
  expect(extended).toEqual([
    { at: 15_000, ids: ["a", "b"] },
    { at: 25_000, ids: ["c"] },
  ]);
});

test("a failed extension is tried again while there is time", async () => {
  const { receive, extended, answers } = setUp();
  answers.push(false, true);
  receive("a");
  await vi.advanceTimersByTimeAsync(40_000);
  expect(extended.map(({ at }) => at)).toEqual([15_000, 22_500, 37_500]);
});

test("a lost message is extended no more, its handler is told, and it can still be settled", async () => {
  const { receive, extended } = setUp();
  const [message] = receive("a");
  const { signal } = message!;
  const error = new SluiceError("message_not_in_flight", "x");
  message!.lose(error);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(extended).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
  expect(signal.reason).toBe(error);
  expect([message!.settle(), message!.settle(), message!.lost]).toEqual([true, false, true]);
});

test("leases that are done are forgotten long before they are due", async () => {
  const { leases, receive } = setUp();
  receive("held");
  for (let index = 0; index < 10_000; index++) {
    const [message] = receive(`m${index}`);
    message!.settle();
  }
  expect(leases.size).toBeLessThan(200);
  expect(leases.held().map(({ id }) => id)).toEqual(["held"]);
  leases.stop();
  expect(vi.getTimerCount()).toBe(0);
});

test("without automatic extension what is held is known and left alone", async () => {
  const { leases, receive, extended } = setUp({ autoExtend: false });
  receive("a");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(extended).toEqual([]);
  expect(leases.held()).toHaveLength(1);
});

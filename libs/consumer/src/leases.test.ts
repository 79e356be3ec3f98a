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
  lapse: () => {},
};

const hour = 3_600_000;

/** A promise and its resolve. */
function later<Value>() {
  let resolve: (value: Value) => void = () => {};
  const promise = new Promise<Value>((resolved) => (resolve = resolved));
  return { promise, resolve };
}

/** Leases of 30 s that note what they extend, and when. */
function setUp({ autoExtend = true, termMs = 30_000 } = {}) {
  const started = performance.now();
  const extended: { at: number; ids: string[] }[] = [];
  const terms: number[] = [];
  const expired: { at: number; ids: string[] }[] = [];
  const lapsed: { at: number; ids: string[] }[] = [];
  const answers: (boolean | Promise<boolean>)[] = [];
  const leases = new Leases({
    termMs,
    autoExtend,
    extend: (messages, seconds) => {
      extended.push({ at: performance.now() - started, ids: messages.map(({ id }) => id) });
      terms.push(seconds);
      return Promise.resolve(answers.shift() ?? true);
    },
    lapse: (messages) => {
      lapsed.push({ at: performance.now() - started, ids: messages.map(({ id }) => id) });
      for (const message of messages) message.lose(new SluiceError("timeout", "x"));
    },
    expire: (messages) => {
      expired.push({ at: performance.now() - started, ids: messages.map(({ id }) => id) });
      for (const message of messages) message.lose(new SluiceError("visibility_beyond_limit", "x"));
    },
  });
  const receive = (...ids: string[]) => receiveLate(0, ...ids);
  /** What has been hidden for so long already. */
  const receiveLate = (ms: number, ...ids: string[]) => {
    const lease = leases.begin(nobody, performance.now() - ms);
    return ids.map((messageId) => {
      const wire = { messageId, body: "", attributes: {} };
      const common = { receipt: messageId, receiveCount: 1, sentAt: "", firstReceivedAt: "" };
      const message = new HeldMessage(wire, { ...common, bits: "1", messages: [wire] }, 0, lease);
      lease.add(message);
      return message;
    });
  };
  return { leases, receive, receiveLate, extended, terms, expired, lapsed, answers };
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

test.each([
  // The second extension at T/2 of the first, and the last until ten seconds before the end.
  { termMs: 5 * hour, at: [2.5, 5, 7.5], terms: [18_000, 18_000, 4.5 * 3_600 - 10] },
  { termMs: 8 * hour, at: [4], terms: [8 * 3_600 - 10] },
  { termMs: 12 * hour, at: [6], terms: [6 * 3_600 - 10] },
])("no message is hidden beyond 12 hours from its receive: %j", async ({ termMs, at, terms }) => {
  const { receive, extended, ...noted } = setUp({ termMs });
  const [message] = receive("a");
  await vi.advanceTimersByTimeAsync(12 * hour - 10_001);
  expect(extended).toEqual(at.map((hours) => ({ at: hours * hour, ids: ["a"] })));
  expect(noted.terms).toEqual(terms);
  expect([message!.held, message!.lost]).toEqual([true, false]);
  await vi.advanceTimersByTimeAsync(1);
  expect(noted.expired).toEqual([{ at: 12 * hour - 10_000, ids: ["a"] }]);
  expect(message!.lost).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test("the last extension is tried again when it fails", async () => {
  const { receive, extended, terms, answers } = setUp({ termMs: 12 * hour });
  answers.push(false);
  receive("a");
  await vi.advanceTimersByTimeAsync(11 * hour);
  expect(extended.map(({ at }) => at)).toEqual([6 * hour, 9 * hour]);
  expect(terms).toEqual([6 * 3_600 - 10, 3 * 3_600 - 10]);
});

test("short terms go on until the end as well", async () => {
  const { receive, extended, terms, expired } = setUp({ termMs: 10 * 60_000 });
  receive("a");
  await vi.advanceTimersByTimeAsync(12 * hour);
  expect(extended).toHaveLength(142);
  expect(terms.slice(0, -1).every((seconds) => seconds === 600)).toBe(true);
  expect(expired).toEqual([{ at: 12 * hour - 10_000, ids: ["a"] }]);
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

test("without automatic extension what is held is known and left alone until its time is over", async () => {
  const { leases, receive, extended, lapsed } = setUp({ autoExtend: false });
  receive("a");
  await vi.advanceTimersByTimeAsync(29_999);
  expect(leases.held()).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(lapsed).toEqual([{ at: 30_000, ids: ["a"] }]);
  expect(extended).toEqual([]);
  expect(leases.held()).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});

test("what cannot be extended is lost when its time is over, counted from before its receive was sent", async () => {
  const { receive, receiveLate, extended, lapsed, answers } = setUp();
  answers.push(false, false, false, false);
  receiveLate(10_000, "late");
  const [settled] = receive("settled", "a");
  settled!.settle();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(extended.map(({ at, ids }) => [at, ...ids])).toEqual([
    [5_000, "late"],
    [12_500, "late"],
    [15_000, "a"],
    [22_500, "a"],
  ]);
  expect(lapsed).toEqual([
    { at: 20_000, ids: ["late"] },
    { at: 30_000, ids: ["a"] },
  ]);
  expect(vi.getTimerCount()).toBe(0);
});

test("an extension counts from when it was sent, however late its answer", async () => {
  const { receive, extended, lapsed, answers } = setUp();
  const answer = later<boolean>();
  answers.push(answer.promise, false, false);
  receive("a");
  await vi.advanceTimersByTimeAsync(28_000);
  answer.resolve(true);
  await vi.advanceTimersByTimeAsync(60_000);
  // The second one, sent when half of the term had passed again, fails, and so does the third.
  expect(extended.map(({ at }) => at)).toEqual([15_000, 30_000, 37_500]);
  expect(lapsed).toEqual([{ at: 45_000, ids: ["a"] }]);
});

test("what is settled or lost is held for as long as it was then, also when others of its receive are extended", async () => {
  const { receive, answers } = setUp();
  const started = performance.now();
  const heldFor = ({ lease }: HeldMessage) => lease.heldUntil - started;
  const [before, lost, during, held] = receive("before", "lost", "during", "held");
  const [last] = receive("last");
  before!.settle();
  const answer = later<boolean>();
  answers.push(answer.promise);
  await vi.advanceTimersByTimeAsync(16_000);
  for (const settled of [during!, last!]) settled.settle();
  lost!.lose(new SluiceError("message_not_in_flight", "x"));
  answer.resolve(true);
  await vi.advanceTimersByTimeAsync(1_000);
  expect([before!, lost!, during!, last!].map(heldFor)).toEqual([30_000, 30_000, 30_000, 30_000]);
  expect(heldFor(held!)).toBe(45_000);
  during!.settle();
  held!.settle();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(heldFor(held!)).toBe(45_000);
});

test("what its holder hides for a time of its own is extended at the end of that", async () => {
  const { leases, receive, extended, lapsed } = setUp();
  const [long, short, usual] = receive("long", "short", "usual");
  await leases.hide(long!, 600, () => Promise.resolve());
  await leases.hide(short!, 4, () => Promise.resolve());
  await vi.advanceTimersByTimeAsync(15_000);
  expect(extended).toEqual([
    { at: 2_000, ids: ["short"] },
    { at: 15_000, ids: ["usual"] },
  ]);
  short!.settle();
  usual!.settle();
  await vi.advanceTimersByTimeAsync(570_001);
  expect(extended.slice(2)).toEqual([{ at: 585_000, ids: ["long"] }]);
  expect(lapsed).toEqual([]);
});

test("while its holder hides it a message is not extended, and what is under way is waited for", async () => {
  const { leases, receive, extended, answers } = setUp();
  const [message] = receive("a");
  const [extension, call] = [later<boolean>(), later<void>()];
  answers.push(extension.promise);
  await vi.advanceTimersByTimeAsync(15_000);
  const calls = vi.fn(() => call.promise);
  const hidden = leases.hide(message!, 60, calls);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(calls).not.toHaveBeenCalled();
  extension.resolve(true);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(calls).toHaveBeenCalledOnce();
  expect(extended).toHaveLength(1);
  call.resolve();
  await hidden;
  await vi.advanceTimersByTimeAsync(60_000);
  // Sent at 16 s: until 76 s, and so extended at 61 s; then as ever.
  expect(extended.map(({ at }) => at)).toEqual([15_000, 61_000, 76_000, 91_000]);
});

test.each([
  ["it is not known whether it was done", "network", 5_000],
  ["it was refused", "invalid_request", 30_000],
] as const)(
  "a message that its holder could not hide is extended again, and held for as long as is certain: %s",
  async (_, code, until) => {
    const { leases, receive, extended, lapsed, answers } = setUp();
    const [message] = receive("a");
    answers.push(...Array.from({ length: 5 }, () => false));
    const hidden = leases.hide(message!, 5, () => Promise.reject(new SluiceError(code, "x")));
    await expect(hidden).rejects.toMatchObject({ code });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(extended[0]!.at).toBe(0);
    expect(lapsed).toEqual([{ at: until, ids: ["a"] }]);
  },
);

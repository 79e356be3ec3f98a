import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Coalescer } from "./coalescer.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A coalescer whose sends end when they are told to. */
function gate({ maxItems = 3, lingerMs = 10 } = {}) {
  const sends: { items: number[]; end: () => void }[] = [];
  const send = (items: number[]) =>
    new Promise<void>((end) => {
      sends.push({ items, end });
    });
  return { sends, coalescer: new Coalescer<number>({ maxItems, lingerMs, send }) };
}

const tick = () => vi.advanceTimersByTimeAsync(0);

test("items share a send until the linger of the first is over", async () => {
  const { sends, coalescer } = gate();
  coalescer.add(1);
  await vi.advanceTimersByTimeAsync(9);
  coalescer.add(2);
  expect(sends).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(sends[0]?.items).toEqual([1, 2]);
});

test("a linger without end is ended by a full send or an urgent item", async () => {
  const { sends, coalescer } = gate({ lingerMs: Infinity });
  for (const item of [1, 2, 3]) {
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sends).toHaveLength(0);
    coalescer.add(item);
  }
  expect(sends[0]?.items).toEqual([1, 2, 3]);
  sends[0]?.end();
  await tick();
  coalescer.add(4);
  coalescer.add(5, true);
  await tick();
  expect(sends[1]?.items).toEqual([4, 5]);
});

test("a full send does not linger", () => {
  const { sends, coalescer } = gate();
  for (const item of [1, 2, 3]) coalescer.add(item);
  expect(sends[0]?.items).toEqual([1, 2, 3]);
});

test("what comes while a send is under way goes with the next, at once and in order", async () => {
  const { sends, coalescer } = gate();
  for (const item of [1, 2, 3, 4, 5, 6, 7]) coalescer.add(item);
  expect(sends).toHaveLength(1);
  sends[0]?.end();
  await tick();
  expect(sends[1]?.items).toEqual([4, 5, 6]);
  sends[1]?.end();
  await tick();
  expect(sends[2]?.items).toEqual([7]);
});

test("an urgent item takes the lingering ones along", async () => {
  const { sends, coalescer } = gate();
  coalescer.add(1);
  coalescer.add(2, true);
  await tick();
  expect(sends[0]?.items).toEqual([1, 2]);
  expect(vi.getTimerCount()).toBe(0);
});

test("without linger the items of one go share a send", async () => {
  const { sends, coalescer } = gate({ lingerMs: 0 });
  coalescer.add(1);
  coalescer.add(2);
  await tick();
  expect(sends.map(({ items }) => items)).toEqual([[1, 2]]);
});

test("an item added the moment a send has ended is sent", async () => {
  const { sends, coalescer } = gate({ lingerMs: 0 });
  coalescer.add(1);
  await tick();
  sends[0]?.end();
  for (let tock = 0; tock < 10; tock++) {
    await Promise.resolve();
    coalescer.add(tock + 10);
  }
  for (let index = 1; index < 12; index++) {
    await tick();
    sends[index]?.end();
  }
  expect(sends.flatMap(({ items }) => items)).toEqual([1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
});

test("flush sends what lingers and resolves when all is sent", async () => {
  const { sends, coalescer } = gate();
  coalescer.add(1);
  const flushed = vi.fn();
  void coalescer.flush().then(flushed);
  await tick();
  expect(sends[0]?.items).toEqual([1]);
  coalescer.add(2);
  sends[0]?.end();
  await tick();
  expect(flushed).not.toHaveBeenCalled();
  sends[1]?.end();
  await tick();
  expect(flushed).toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});

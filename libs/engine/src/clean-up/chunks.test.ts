import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { ChunkSize } from "./chunks.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

/** So many rows, removed at a speed; the sizes that were asked for. */
function removing(rows: number, rowsPerMs: number) {
  const sizes: number[] = [];
  let left = rows;
  const remove = (size: number) => {
    sizes.push(size);
    const count = Math.min(size, left);
    left -= count;
    vi.advanceTimersByTime(count / rowsPerMs);
    return Promise.resolve(count);
  };
  return { sizes, remove };
}

test("what goes quickly goes in larger and larger chunks", async () => {
  const { sizes, remove } = removing(1_000, 1);
  expect(await new ChunkSize({ min: 100, max: 400 }).removeAll(remove)).toBe(1_000);
  expect(sizes).toEqual([100, 200, 400, 400]);
});

test("what takes long goes in smaller ones, and the next run remembers", async () => {
  const chunks = new ChunkSize({ min: 100, max: 400 });
  await chunks.removeAll(removing(700, 1).remove);
  const { sizes, remove } = removing(1_000, 0.02);
  await chunks.removeAll(remove);
  expect(sizes).toEqual([400, 200, 200, 200, 200]);
});

test("a chunk that failed is tried smaller the next time", async () => {
  const chunks = new ChunkSize({ min: 100, max: 400 });
  await expect(chunks.removeAll(() => Promise.reject(new Error("timeout")))).rejects.toThrow();
  const { sizes, remove } = removing(10, 1);
  await chunks.removeAll(remove);
  expect(sizes).toEqual([25]);
});

test("it ends after the chunk that runs when it is told to", async () => {
  const stopping = AbortSignal.abort();
  const { sizes, remove } = removing(1_000, 1);
  expect(await new ChunkSize({ min: 100, max: 400 }).removeAll(remove, stopping)).toBe(100);
  expect(sizes).toEqual([100]);
});

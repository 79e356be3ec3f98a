import { expect, test, vi } from "vitest";
import { paced } from "./paced.ts";

const { signal } = new AbortController();

async function groupsOf<T>(generator: AsyncIterable<T[]>): Promise<T[][]> {
  const groups: T[][] = [];
  for await (const group of generator) groups.push(group);
  return groups;
}

test("without a rate everything is handed out at once, in groups", async () => {
  const items = Array.from({ length: 600 }, (_, index) => index);
  const groups = await groupsOf(paced(items, { rate: 0, signal }));
  expect(groups.map(({ length }) => length)).toEqual([250, 250, 100]);
  expect(groups.flat()).toEqual(items);
});

test("items are not handed out before they are due", async () => {
  const startedAt = performance.now();
  const groups = await groupsOf(paced(["a", "b", "c"], { rate: 100, signal }));
  expect(groups.flat()).toEqual(["a", "b", "c"]);
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(20);
});

test("what became due while the last group was handled comes together", async () => {
  const now = vi.spyOn(performance, "now").mockReturnValue(0);
  const groups = paced(["a", "b", "c", "d"], { rate: 1_000, signal });
  await groups.next();
  now.mockReturnValue(60_000);
  expect((await groups.next()).value).toEqual(["b", "c", "d"]);
  now.mockRestore();
});

test("the signal ends it", async () => {
  const stopped = AbortSignal.abort(new Error("enough"));
  await expect(groupsOf(paced(["a"], { rate: 0, signal: stopped }))).rejects.toThrow("enough");
});

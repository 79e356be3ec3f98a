import { expect, test } from "vitest";

import { ByQueue } from "./by-queue.ts";

/** Rounds that end when they are told to. */
function controlled() {
  const rounds: { items: string[]; end: () => void }[] = [];
  const lines = new ByQueue<string, string>({
    write: async (items) => {
      await new Promise<void>((end) => rounds.push({ items, end }));
      return items.map((item) => item.toUpperCase());
    },
    weigh: (item) => item.length,
    maxRound: 100,
    maxWaiting: 6,
  });
  return { lines, rounds, itemsOf: () => rounds.map(({ items }) => items) };
}

test("what comes for a queue while a round of it is under way shares the next, and other queues do not wait", async () => {
  const { lines, rounds, itemsOf } = controlled();
  const first = lines.add("1", "a");
  await Promise.resolve();
  const others = [lines.add("1", "b"), lines.add("1", "c"), lines.add("2", "d")];
  await expect.poll(itemsOf).toEqual([["a"], ["d"]]);
  rounds[1]!.end();
  expect(await others[2]).toBe("D");
  rounds[0]!.end();
  expect(await first).toBe("A");
  await expect.poll(itemsOf).toEqual([["a"], ["d"], ["b", "c"]]);
  expect([lines.has("1"), lines.has("2")]).toEqual([true, false]);
  const idle = lines.idle();
  rounds[2]!.end();
  expect(await Promise.all(others)).toEqual(["B", "C", "D"]);
  expect(lines.has("1")).toBe(false);
  await idle;
});

test("more than may wait, of all queues together, is refused, and taken again when it is less", async () => {
  const { lines, rounds } = controlled();
  const taken = [lines.add("1", "abc"), lines.add("2", "def")];
  await expect(lines.add("3", "g")).rejects.toMatchObject({ code: "too_many_requests" });
  await expect.poll(() => rounds.length).toBe(2);
  for (const { end } of rounds) end();
  await Promise.all(taken);
  const again = lines.add("3", "g");
  await expect.poll(() => rounds.length).toBe(3);
  rounds[2]!.end();
  expect(await again).toBe("G");
});

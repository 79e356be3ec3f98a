import { setImmediate } from "node:timers/promises";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { GroupCommit } from "./group-commit.ts";

/** Rounds that end when the test says so. */
function heldRounds(options: { maxRound?: number; maxWaiting?: number; patience?: number } = {}) {
  const rounds: {
    items: number[];
    end: (results?: (string | Error)[]) => void;
    fail: () => void;
  }[] = [];
  const commits = new GroupCommit<number, string>({
    write: (items) =>
      new Promise((resolve, reject) => {
        rounds.push({
          items,
          end: (results = items.map((item) => `done ${item}`)) => {
            resolve(results);
          },
          fail: () => {
            reject(new Error("the round failed"));
          },
        });
      }),
    weigh: (item) => item,
    maxRound: options.maxRound ?? 100,
    maxWaiting: options.maxWaiting ?? 1_000,
    ...(options.patience !== undefined && { patience: options.patience }),
  });
  return { rounds, commits };
}

test("a lone item is written at once", async () => {
  const { rounds, commits } = heldRounds();
  const result = commits.add(1);
  await setImmediate();
  expect(rounds.map(({ items }) => items)).toEqual([[1]]);
  rounds[0]!.end();
  expect(await result).toBe("done 1");
});

test("items of one tick share a round", async () => {
  const { rounds, commits } = heldRounds();
  const results = [1, 2, 3].map((item) => commits.add(item));
  await setImmediate();
  expect(rounds.map(({ items }) => items)).toEqual([[1, 2, 3]]);
  rounds[0]!.end();
  expect(await Promise.all(results)).toEqual(["done 1", "done 2", "done 3"]);
});

test("what arrives while a round is being written shares the next one, and not before it ends", async () => {
  const { rounds, commits } = heldRounds();
  const first = commits.add(1);
  await setImmediate();
  const later = [2, 3].map((item) => commits.add(item));
  await setImmediate();
  expect(rounds).toHaveLength(1);
  rounds[0]!.end();
  await first;
  await setImmediate();
  expect(rounds.map(({ items }) => items)).toEqual([[1], [2, 3]]);
  rounds[1]!.end();
  await Promise.all(later);
});

test("a round that takes too long is not waited for, and has its results when it ends", async () => {
  const { rounds, commits } = heldRounds({ patience: 1 });
  const first = commits.add(1);
  await setImmediate();
  const second = commits.add(2);
  await expect.poll(() => rounds.length).toBe(2);
  rounds[1]!.end();
  expect(await second).toBe("done 2");
  rounds[0]!.end();
  expect(await first).toBe("done 1");
});

test("a round stops growing at its weight; an item that is heavier has one of its own", async () => {
  const { rounds, commits } = heldRounds({ maxRound: 10 });
  const results = [4, 6, 1, 25, 3].map((item) => commits.add(item));
  for (let round = 0; round < 4; round += 1) {
    await setImmediate();
    rounds[round]!.end();
  }
  await Promise.all(results);
  expect(rounds.map(({ items }) => items)).toEqual([[4, 6], [1], [25], [3]]);
});

describe("failures", () => {
  test("an error among the results rejects its item alone", async () => {
    const { rounds, commits } = heldRounds();
    const results = [1, 2].map((item) => commits.add(item));
    await setImmediate();
    rounds[0]!.end([new Error("refused"), "done"]);
    await expect(results[0]).rejects.toThrow("refused");
    expect(await results[1]).toBe("done");
  });

  test("a round that fails rejects its items; the next one is written", async () => {
    const { rounds, commits } = heldRounds();
    const failing = commits.add(1);
    await setImmediate();
    const next = commits.add(2);
    rounds[0]!.fail();
    await expect(failing).rejects.toThrow("the round failed");
    await setImmediate();
    rounds[1]!.end();
    expect(await next).toBe("done 2");
  });

  test("above the weight that may wait an item is refused, and taken again when there is room", async () => {
    const { rounds, commits } = heldRounds({ maxWaiting: 10 });
    const first = commits.add(1);
    await setImmediate();
    const waiting = [6, 4].map((item) => commits.add(item));
    await expect(commits.add(1)).rejects.toMatchObject({ code: "too_many_requests" });
    rounds[0]!.end();
    await first;
    await setImmediate();
    const taken = commits.add(1);
    rounds[1]!.end();
    await Promise.all(waiting);
    await setImmediate();
    rounds[2]!.end();
    expect(await taken).toBe("done 1");
  });

  test("an item heavier than all that may wait is taken when nothing waits", async () => {
    const { rounds, commits } = heldRounds({ maxWaiting: 10 });
    const heavy = commits.add(50);
    await setImmediate();
    rounds[0]!.end();
    expect(await heavy).toBe("done 50");
  });
});

test("idle resolves when everything has been answered", async () => {
  const { rounds, commits } = heldRounds();
  await commits.idle();
  const order: string[] = [];
  const first = commits.add(1).then(() => order.push("first"));
  await setImmediate();
  const second = commits.add(2).then(() => order.push("second"));
  const idle = commits.idle().then(() => order.push("idle"));
  rounds[0]!.end();
  await setImmediate();
  rounds[1]!.end();
  await Promise.all([first, second, idle]);
  expect(order).toEqual(["first", "second", "idle"]);
});

test("each item is written once, in order of arrival, and gets its own result", async () => {
  const items = fc.array(
    fc.record({ weight: fc.integer({ min: 1, max: 20 }), pause: fc.boolean() }),
  );
  await fc.assert(
    fc.asyncProperty(items, async (script) => {
      const written: number[] = [];
      const commits = new GroupCommit<{ id: number; weight: number }, string>({
        write: async (round) => {
          expect(round.length).toBeGreaterThan(0);
          const weight = round.reduce((sum, item) => sum + item.weight, 0);
          expect(round.length === 1 || weight <= 30).toBe(true);
          written.push(...round.map(({ id }) => id));
          await setImmediate();
          return round.map(({ id }) => `done ${id}`);
        },
        weigh: ({ weight }) => weight,
        maxRound: 30,
        maxWaiting: Number.POSITIVE_INFINITY,
      });
      const results: Promise<string>[] = [];
      for (const [id, { weight, pause }] of script.entries()) {
        results.push(commits.add({ id, weight }));
        if (pause) await setImmediate();
      }
      expect(await Promise.all(results)).toEqual(script.map((_, id) => `done ${id}`));
      expect(written).toEqual(script.map((_, id) => id));
    }),
  );
});

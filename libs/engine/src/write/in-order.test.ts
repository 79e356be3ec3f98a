import { setImmediate } from "node:timers/promises";

import type { Sql } from "@sluice/database";
import fc from "fast-check";
import { expect, test } from "vitest";

import { InOrder, type Results } from "./in-order.ts";
import { LockWaits } from "./lock-waits.ts";

interface Item {
  target: string;
  number: number;
}

const lockNotAvailable = () =>
  Object.assign(new Error("canceling statement due to lock timeout"), { code: "55P03" });

/** Rounds of three items that give up a target that is locked, soon or never; "slow" is waited for. */
function locking() {
  const locked = new Map<string, Promise<void>>();
  const rounds: Item[][] = [];
  const written: Item[] = [];
  const inOrder = new InOrder<Item, string>({
    waits: new LockWaits({ options: { max: 4 } } as Sql),
    weigh: () => 1,
    maxRound: 3,
    maxWaiting: 1_000,
    targetOf: ({ target }) => target,
    write: async (items, results: Results<Item, string>, lockTimeout) => {
      rounds.push(items);
      await setImmediate();
      for (const item of items) {
        const held = locked.get(item.target);
        if (held && lockTimeout !== undefined && item.target !== "slow") throw lockNotAvailable();
        await held;
        written.push(item);
        results.set(item, `${item.target}${item.number}`);
      }
    },
  });
  const lock = (target: string) => {
    let letGo = () => {};
    const held = new Promise<void>((resolve) => (letGo = resolve)).then(() => {
      if (locked.get(target) === held) locked.delete(target);
    });
    locked.set(target, held);
    return letGo;
  };
  return { inOrder, rounds, written, lock };
}

test("calls share rounds, and where one meets a lock those of each target go by themselves until they are done", async () => {
  const { inOrder, rounds, lock } = locking();
  const letGo = lock("b");
  const add = (target: string, number: number) => inOrder.add({ target, number });
  const free = [add("a", 1), add("c", 1)];
  const held = add("b", 1);
  expect(await Promise.all(free)).toEqual(["a1", "c1"]);
  const later = add("b", 2);
  expect(await add("a", 2)).toBe("a2");
  expect(rounds[0]).toHaveLength(3);
  let isIdle = false;
  const idle = inOrder.idle().then(() => (isIdle = true));
  await setImmediate();
  expect(isIdle).toBe(false);
  letGo();
  expect(await Promise.all([held, later])).toEqual(["b1", "b2"]);
  await idle;
  const before = rounds.length;
  expect(await Promise.all([add("a", 3), add("b", 3)])).toEqual(["a3", "b3"]);
  expect(rounds.slice(before).map((items) => items.length)).toEqual([2]);
});

test("a call that still waits for its round when its target comes to have a line stays before those that come later", async () => {
  const { inOrder, rounds, written, lock } = locking();
  const letGo = [lock("a"), lock("slow")];
  const targets = ["a", "b", "c", "slow", "d", "e", "a"];
  const results = targets.map((target, number) => inOrder.add({ target, number }));
  await expect.poll(() => rounds.some(([item]) => item?.target === "slow")).toBe(true);
  results.push(inOrder.add({ target: "a", number: targets.length }));
  for (const each of letGo) each();
  await Promise.all(results);
  const numbers = written.filter(({ target }) => target === "a").map(({ number }) => number);
  expect(numbers).toEqual([0, 6, 7]);
});

test("whatever is locked and let go meanwhile, the calls for a target are written in their order, and once", async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ add: fc.constantFrom("a", "b", "c") }) },
    { weight: 2, arbitrary: fc.record({ lock: fc.constantFrom("a", "b") }) },
    { weight: 2, arbitrary: fc.record({ letGo: fc.constant(true) }) },
    { weight: 3, arbitrary: fc.record({ turns: fc.integer({ min: 1, max: 4 }) }) },
  );
  const property = fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
    const { inOrder, written, lock } = locking();
    const added: Item[] = [];
    const results: Promise<string>[] = [];
    const letGos: (() => void)[] = [];
    for (const each of steps) {
      if ("add" in each) {
        const item = { target: each.add, number: added.length };
        added.push(item);
        results.push(inOrder.add(item));
      } else if ("lock" in each) letGos.push(lock(each.lock));
      else if ("letGo" in each) letGos.shift()?.();
      else for (let turn = 0; turn < each.turns; turn += 1) await setImmediate();
    }
    for (const letGo of letGos) letGo();
    expect(await Promise.all(results)).toEqual(
      added.map(({ target, number }) => `${target}${number}`),
    );
    for (const of of ["a", "b", "c"]) {
      expect(written.filter(({ target }) => target === of)).toEqual(
        added.filter(({ target }) => target === of),
      );
    }
    await inOrder.idle();
  });
  await fc.assert(property, { numRuns: 200 });
});

test("what is too much for the line of a target is refused, and holds nothing up", async () => {
  const { inOrder, lock } = locking();
  const letGo = lock("a");
  const add = (count: number) =>
    Array.from({ length: count }, (_, number) => inOrder.add({ target: "a", number }));
  const first = add(600);
  expect(await inOrder.add({ target: "b", number: 1 })).toBe("b1");
  const refused: unknown[] = [];
  const calls = add(600);
  for (const call of calls) call.catch((error: unknown) => refused.push(error));
  const second = Promise.allSettled(calls);
  expect(await inOrder.add({ target: "b", number: 2 })).toBe("b2");
  await expect.poll(() => refused.length).toBe(200);
  letGo();
  await Promise.all(first);
  const outcomes = await second;
  expect(refused).toHaveLength(200);
  expect(refused[0]).toMatchObject({ code: "too_many_requests" });
  expect(outcomes.slice(0, 400).every(({ status }) => status === "fulfilled")).toBe(true);
});

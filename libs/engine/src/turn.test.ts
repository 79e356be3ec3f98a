import { expect, test } from "vitest";

import { Turn } from "./turn.ts";

/** Keeps the loop busy for a millisecond. */
function work(): void {
  const end = performance.now() + 1;
  while (performance.now() < end);
}

test("whatever goes on for long does so by turns, and the event loop goes on between", async () => {
  const turn = new Turn();
  let turnsOfLoop = 0;
  let ended = false;
  const count = () => {
    turnsOfLoop += 1;
    if (!ended) setImmediate(count);
  };
  setImmediate(count);
  const done = [0, 0, 0];
  const first: number[] = [];
  const goOn = async (number: number) => {
    for (let part = 0; part < 100; part += 1) {
      if (turn.isOver()) await turn.next("a");
      work();
      done[number]! += 1;
    }
    first.push(Math.min(...done));
  };
  await Promise.all(done.map((_, number) => goOn(number)));
  ended = true;
  // 300 ms of work, five to a turn and one more at most.
  expect(turnsOfLoop).toBeGreaterThan(40);
  // When the first one ends, the last one has had its turns as well.
  expect(first[0]).toBeGreaterThan(50);
});

test("an account with many pieces of work has no more turns than one with a single piece", async () => {
  const turn = new Turn();
  const done = new Map([
    ["many", 0],
    ["one", 0],
  ]);
  const enough = new AbortController();
  const goOn = async (account: string, parts: number) => {
    for (let part = 0; part < parts && !enough.signal.aborted; part += 1) {
      if (turn.isOver()) await turn.next(account);
      work();
      done.set(account, done.get(account)! + 1);
    }
  };
  const many = Array.from({ length: 20 }, () => goOn("many", 1_000));
  await goOn("one", 100);
  enough.abort();
  await Promise.all(many);
  // By pieces it would be 2,000 by then.
  expect(done.get("one")).toBe(100);
  expect(done.get("many")).toBeLessThan(400);
});

test("what is over within a turn waits for nothing", () => {
  const turn = new Turn();
  expect([1, 10_000, 10_000, 10].map((length) => turn.isOver(length))).not.toContain(true);
});

test("steps are given up when it is enough, not before a turn was waited for", async () => {
  const turn = new Turn();
  function* steps(count: number) {
    for (let step = 0; step < count; step += 1) {
      yield 20_000;
      work();
    }
    return "done";
  }
  const ask = () => true;
  expect(await turn.through(steps(1), { account: "a", isEnough: ask })).toEqual({ result: "done" });
  expect(await turn.through(steps(100), { account: "a", isEnough: ask })).toBeUndefined();
  expect(await turn.through(steps(100), { account: "a", isEnough: () => false })).toEqual({
    result: "done",
  });
});

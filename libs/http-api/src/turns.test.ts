import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";

import { Turns } from "./turns.ts";

function turnsAt() {
  const clock = { now: 1_000 };
  const pauses: number[] = [];
  const turns = new Turns({ now: () => clock.now, sleep: (ms) => pauses.push(ms) });
  /** So many calls in one turn, which ends when the loop has gone round twice. */
  const turn = async (calls: number, at: number) => {
    clock.now = at;
    for (let index = 0; index < calls; index += 1) turns.came();
    await setImmediate();
    await setImmediate();
    await setImmediate();
  };
  return { turn, pauses };
}

test("a call alone is followed by no pause", async () => {
  const { turn, pauses } = turnsAt();
  await turn(1, 1_000);
  expect(pauses).toEqual([]);
});

test("turns that follow each other soon pause once each, however many calls they brought", async () => {
  const { turn, pauses } = turnsAt();
  await turn(1, 1_000);
  await turn(1, 1_001);
  await turn(7, 1_002.5);
  expect(pauses).toEqual([0.2, 0.2]);
});

test("a turn that brought many calls is followed by the next one at once", async () => {
  const { turn, pauses } = turnsAt();
  await turn(1, 1_000);
  await turn(8, 1_001);
  expect(pauses).toEqual([]);
});

test("calls that come every two milliseconds never pause", async () => {
  const { turn, pauses } = turnsAt();
  for (let at = 1_000; at < 1_020; at += 2) await turn(1, at);
  expect(pauses).toEqual([]);
});

test("in a pause the thread stops", async () => {
  const turns = new Turns({ now: () => 1_000 });
  const stopped: number[] = [];
  for (let index = 0; index < 50; index += 1) {
    const began = performance.now();
    turns.came();
    await setImmediate();
    await setImmediate();
    stopped.push(performance.now() - began);
  }
  expect(Math.min(...stopped.slice(1))).toBeGreaterThan(0.15);
});

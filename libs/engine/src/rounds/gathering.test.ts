import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Gathering } from "./gathering.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Whether the next round, for which so many are there, waits for others; if so, it is let wait in vain. */
async function waits(gathering: Gathering, present: number): Promise<boolean> {
  let hasBegun = false;
  const begun = gathering.enough(present).then(() => (hasBegun = true));
  await Promise.resolve();
  await Promise.resolve();
  const isWaiting = !hasBegun;
  vi.advanceTimersByTime(1);
  await begun;
  return isWaiting;
}

test("right after a round the next one waits for as many as it had, but not for long", async () => {
  const gathering = new Gathering();
  expect(await waits(gathering, 1)).toBe(false);
  gathering.ended(10);
  expect(await waits(gathering, 7)).toBe(true);
});

test("it begins when nearly all of them are there", async () => {
  const gathering = new Gathering();
  gathering.ended(10);
  let hasBegun = false;
  const begun = gathering.enough(1).then(() => (hasBegun = true));
  gathering.came(7);
  await Promise.resolve();
  expect(hasBegun).toBe(false);
  gathering.came(8);
  await begun;
});

test("nobody waits after a round with one part, or none that counts, or some time later", async () => {
  const gathering = new Gathering();
  gathering.ended(1);
  expect(await waits(gathering, 1)).toBe(false);
  gathering.ended(0);
  expect(await waits(gathering, 1)).toBe(false);
  gathering.ended(10);
  vi.advanceTimersByTime(3);
  expect(await waits(gathering, 1)).toBe(false);
});

test("where those of the last round do not come back, ever fewer rounds wait for them", async () => {
  const gathering = new Gathering();
  const waited: number[] = [];
  for (let round = 0; round < 400; round += 1) {
    gathering.ended(10);
    if (await waits(gathering, 1)) waited.push(round);
  }
  expect(waited).toEqual([0, 2, 5, 10, 19, 36, 69, 134, 199, 264, 329, 394]);
  // One that was worth it makes up for them.
  for (let round = 0; round < 65; round += 1) {
    gathering.ended(10);
    const begun = gathering.enough(1);
    gathering.came(10);
    await begun;
  }
  gathering.ended(10);
  expect(await waits(gathering, 1)).toBe(true);
  gathering.ended(10);
  expect(await waits(gathering, 1)).toBe(false);
  gathering.ended(10);
  expect(await waits(gathering, 1)).toBe(true);
});

test("while a round is under way another one begins as soon as it is about as large", async () => {
  const gathering = new Gathering();
  const never = new Promise<void>(() => {});
  gathering.began(10);
  expect(await gathering.isEnoughDuring(never, 8)).toBe(true);
  let isEnough: boolean | undefined;
  const told = gathering.isEnoughDuring(never, 1).then((is) => (isEnough = is));
  gathering.came(7);
  await Promise.resolve();
  await Promise.resolve();
  expect(isEnough).toBeUndefined();
  gathering.came(8);
  expect(await told).toBe(true);
});

test("nothing is not enough for another round, and with the end of one its successor need not be as large", async () => {
  const gathering = new Gathering();
  gathering.began(0);
  expect(await gathering.isEnoughDuring(Promise.resolve(), 0)).toBe(false);
  gathering.began(10);
  expect(await gathering.isEnoughDuring(Promise.resolve(), 7)).toBe(false);
});

test("none begins behind one that takes its time", async () => {
  const gathering = new Gathering();
  let end: () => void = () => {};
  const round = new Promise<void>((resolve) => (end = resolve));
  gathering.began(1);
  const told = gathering.isEnoughDuring(round, 0);
  vi.advanceTimersByTime(10);
  gathering.came(5);
  await Promise.resolve();
  end();
  expect(await told).toBe(false);
  const ended = Promise.resolve();
  expect(await gathering.isEnoughDuring(ended, 5)).toBe(false);
  gathering.began(1);
  expect(await gathering.isEnoughDuring(round, 5)).toBe(true);
});

import { expect, test } from "vitest";
import { MergedSets } from "./merged-sets.ts";

/** Sets whose handler waits for the test: each call is let go by `finish`. */
function slowSets(maxIds = 256) {
  const calls: string[][] = [];
  const waiting: (() => void)[] = [];
  const errors: unknown[] = [];
  const handler = async (ids: string[]) => {
    calls.push(ids);
    await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const sets = new MergedSets({ handler, maxIds, onError: (error) => errors.push(error) });
  return { sets, calls, finish: () => waiting.shift()?.(), turn: () => new Promise(setImmediate) };
}

test("what arrives during one call is the next call's set, each id once", async () => {
  const { sets, calls, finish, turn } = slowSets();
  sets.add(["1"]);
  await turn();
  sets.add(["2", "3"]);
  sets.add(["3", "4"]);
  finish();
  await turn();
  expect(calls).toEqual([["1"], ["2", "3", "4"]]);
});

test("what arrives in one turn is one set", async () => {
  const { sets, calls, turn } = slowSets();
  sets.add(["1"]);
  sets.add(["2"]);
  await turn();
  expect(calls).toEqual([["1", "2"]]);
});

test("an id that comes again while its call runs is handled again", async () => {
  const { sets, calls, finish, turn } = slowSets();
  sets.add(["1"]);
  await turn();
  sets.add(["1"]);
  finish();
  await turn();
  expect(calls).toEqual([["1"], ["1"]]);
});

test("room is there again when less than one full set waits", async () => {
  const { sets, finish, turn } = slowSets(2);
  sets.add(["1", "2", "3", "4"]);
  let room = false;
  const waited = sets.room().then(() => (room = true));
  await turn();
  expect(room).toBe(false);
  finish();
  await waited;
});

test("it is settled when every call has ended", async () => {
  const { sets, calls, finish, turn } = slowSets(1);
  await sets.settled();
  sets.add(["1", "2"]);
  let settled = false;
  const waited = sets.settled().then(() => (settled = true));
  await turn();
  finish();
  await turn();
  expect(settled).toBe(false);
  finish();
  await waited;
  expect(calls).toEqual([["1"], ["2"]]);
});

test("what waits is bounded", async () => {
  const { sets, calls, finish, turn } = slowSets(1_000_000);
  sets.add(["first"]);
  await turn();
  sets.add(Array.from({ length: 70_000 }, (_, index) => String(index)));
  finish();
  await turn();
  expect(calls[1]).toHaveLength(65_536);
});

import { expect, test } from "vitest";

import { applyMarks, type AppliedMark, type Lookup } from "./apply-marks.ts";
import type { SliceMark } from "./slice-marks.ts";

function mark(batchId: string, mask: bigint): SliceMark {
  return { queueId: "1", batchId, lease: "1", visibleAt: 1, mask };
}

/** A statement that answers by script, one step a call; what it was asked is kept. */
function scripted(...steps: AppliedMark[][]) {
  const asked: { masks: bigint[]; lookup: Lookup }[] = [];
  return {
    asked,
    statement: (marks: readonly SliceMark[], lookup: Lookup) => {
      asked.push({ masks: marks.map(({ mask }) => mask), lookup });
      return Promise.resolve(steps[asked.length - 1] ?? []);
    },
  };
}

test("what the exact lookup does whole asks nothing more", async () => {
  const { asked, statement } = scripted([
    { position: 1, done: "3", applied: true },
    { position: 2, done: "4", applied: true },
  ]);
  expect(await applyMarks([mark("1", 3n), mark("2", 4n)], statement)).toEqual([3n, 4n]);
  expect(asked).toEqual([{ masks: [3n, 4n], lookup: "exact" }]);
});

test("what it leaves is looked for among the moved slices, and only that", async () => {
  const { asked, statement } = scripted(
    [{ position: 2, done: "1", applied: true }],
    [{ position: 1, done: "2", applied: true }],
  );
  expect(await applyMarks([mark("1", 3n), mark("2", 1n)], statement)).toEqual([2n, 1n]);
  expect(asked).toEqual([
    { masks: [3n, 1n], lookup: "exact" },
    { masks: [3n], lookup: "moved" },
  ]);
});

test("parts of a slice that lie in several rows add up", async () => {
  const { statement } = scripted(
    [{ position: 1, done: "1", applied: true }],
    [
      { position: 1, done: "2", applied: true },
      { position: 1, done: "4", applied: true },
    ],
  );
  expect(await applyMarks([mark("1", 7n)], statement)).toEqual([7n]);
});

test("a row that another statement changed at that moment is looked for again", async () => {
  const { asked, statement } = scripted(
    [{ position: 1, done: "3", applied: false }],
    [],
    [{ position: 1, done: "3", applied: true }],
  );
  expect(await applyMarks([mark("1", 3n)], statement)).toEqual([3n]);
  expect(asked.map(({ lookup }) => lookup)).toEqual(["exact", "moved", "exact"]);
});

test("what is no longer held is not looked for twice", async () => {
  const { asked, statement } = scripted([], []);
  expect(await applyMarks([mark("1", 3n)], statement)).toEqual([0n]);
  expect(asked).toHaveLength(2);
});

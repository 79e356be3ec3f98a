import { expect, test } from "vitest";

import { markSlices } from "./slice-marks.ts";

const slice = { queueId: "1", batchId: "10", lease: "100", visibleAt: 1_000 };

test("handles of one slice become one mark", () => {
  const { marks, markOf } = markSlices([0, 5, 62].map((bit) => ({ ...slice, bit })));
  expect(marks).toEqual([{ ...slice, mask: (1n << 62n) | (1n << 5n) | 1n }]);
  expect(markOf).toEqual([0, 0, 0]);
});

test.each([
  ["batch", { batchId: "11" }],
  ["receive", { lease: "101" }],
  ["deadline", { visibleAt: 1_001 }],
])("handles of another %s become another mark", (_, other) => {
  const { marks, markOf } = markSlices([
    { ...slice, bit: 1 },
    { ...slice, ...other, bit: 1 },
    { ...slice, bit: 2 },
  ]);
  expect(marks.map(({ mask }) => mask)).toEqual([6n, 2n]);
  expect(markOf).toEqual([0, 1, 0]);
});

test("the same handle twice is one bit", () => {
  expect(markSlices([3, 3].map((bit) => ({ ...slice, bit }))).marks).toMatchObject([{ mask: 8n }]);
});

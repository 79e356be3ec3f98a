import fc from "fast-check";
import { expect, test } from "vitest";

import { figureOf, percentiles } from "./statistics.ts";

test("a figure is the middle round, with the lowest and the highest beside it", () => {
  expect(figureOf([30, 10, 20])).toEqual({ median: 20, min: 10, max: 30, values: [30, 10, 20] });
});

test("the middle of an even number of rounds is between the two in the middle", () => {
  expect(figureOf([4, 1, 3, 2]).median).toBe(2.5);
});

test("rounds are compared as numbers, not as text", () => {
  expect(figureOf([9, 10, 100])).toMatchObject({ median: 10, min: 9, max: 100 });
});

test("there is no figure without a round", () => {
  expect(() => figureOf([])).toThrow("at least one");
});

test("a percentile is the smallest value that so many are not above", () => {
  const values = Float64Array.from({ length: 1_000 }, (_, index) => 1_000 - index);
  expect(percentiles(values, 50, 99, 99.9, 100)).toEqual([500, 990, 999, 1_000]);
});

test("the percentile of nothing is 0, and of one value that value", () => {
  expect(percentiles(new Float64Array(), 99)).toEqual([0]);
  expect(percentiles(Float64Array.of(7), 1, 99.9)).toEqual([7, 7]);
});

test("at least so many percent of all values are not above their percentile", () => {
  const values = fc.float64Array({ minLength: 1, noNaN: true });
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 100 }), (all, percent) => {
      const [found = 0] = percentiles(all, percent);
      const notAbove = all.filter((value) => value <= found).length;
      expect(notAbove / all.length).toBeGreaterThanOrEqual(percent / 100);
    }),
  );
});

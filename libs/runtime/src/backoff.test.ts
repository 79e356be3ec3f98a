import { expect, test } from "vitest";
import { backoffDelay } from "./backoff.ts";

const delays = (random: () => number) =>
  [1, 2, 3, 4, 5, 6, 7, 1_000_000].map((failures) =>
    backoffDelay(failures, { initialMs: 100, maxMs: 5_000, random }),
  );

test("the delay doubles up to its limit", () => {
  expect(delays(() => 1)).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
});

test("at most half of it is left to chance", () => {
  expect(delays(() => 0)).toEqual([50, 100, 200, 400, 800, 1_600, 2_500, 2_500]);
});

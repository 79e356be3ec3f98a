import fc from "fast-check";
import { expect, test } from "vitest";
import { fullJitter, retryDelay, retryPolicy } from "./retry.ts";

test("the wait is never above the doubling bound nor below Retry-After", () => {
  const attempts = fc.integer({ min: 1, max: 60 });
  fc.assert(
    fc.property(attempts, fc.integer({ min: 0, max: 60_000 }), (attempt, retryAfterMs) => {
      const policy = retryPolicy();
      const bound = Math.min(policy.maxDelayMs, policy.baseDelayMs * 2 ** (attempt - 1));
      expect(fullJitter(attempt, policy)).toBeLessThanOrEqual(bound);
      expect(retryDelay(attempt, policy, retryAfterMs)).toBeGreaterThanOrEqual(retryAfterMs);
    }),
  );
});

test("options are laid over the defaults, undefined ones left out", () => {
  expect(retryPolicy({ baseDelayMs: 5, maxDelayMs: undefined })).toEqual({
    baseDelayMs: 5,
    maxDelayMs: 5_000,
    budgetMs: 60_000,
  });
});

test("a budget that could outlive the server's memory of a key is refused", () => {
  const refusal = expect.objectContaining({
    code: "invalid_request",
    details: [{ path: "retry.budgetMs", message: "expected at most 150000, got 150001" }],
  });
  expect(() => retryPolicy({ budgetMs: 150_001 })).toThrow(refusal);
  expect(() => retryPolicy({ baseDelayMs: Number.NaN })).toThrow(/retry.baseDelayMs/);
});

import { expect, test } from "vitest";
import { exponentialBackoff, settingsOf } from "./options.ts";

test("the defaults are those of the documentation", () => {
  expect(settingsOf({})).toMatchObject({
    concurrency: 10,
    prefetch: 10,
    batchSize: 100,
    receivers: 1,
    wait: 20,
    visibilityTimeout: undefined,
    autoExtend: true,
    drainTimeoutMs: 20_000,
  });
  expect(settingsOf({ concurrency: 3 }).prefetch).toBe(3);
});

test("the default back-off doubles from one second up to a minute", () => {
  expect([1, 2, 3, 6, 7, 1_000].map(exponentialBackoff)).toEqual([1, 2, 4, 32, 60, 60]);
});

test.each([
  ["concurrency", 0],
  ["prefetch", -1],
  ["batchSize", 1_001],
  ["receivers", 0],
  ["wait", 0],
  ["wait", 21],
  ["visibilityTimeout", 0],
  ["visibilityTimeout", 43_201],
  ["batchSize", 1.5],
  ["drainTimeoutMs", Number.NaN],
])("%s %d is refused", (name, value) => {
  const refusal = expect.objectContaining({
    code: "invalid_request",
    details: [expect.objectContaining({ path: name })],
  });
  expect(() => settingsOf({ [name]: value })).toThrow(refusal);
});

test("an unknown option is refused by its name, out of a variable too", () => {
  const options = { concurrency: 5, visibilityTimeoutSeconds: 60 };
  const message = expect.stringContaining("visibilityTimeout, autoExtend") as string;
  const refusal = expect.objectContaining({
    code: "invalid_request",
    details: [{ path: "visibilityTimeoutSeconds", message }],
  });
  expect(() => settingsOf(options)).toThrow(refusal);
  const undone = { ...options, visibilityTimeoutSeconds: undefined };
  expect(settingsOf(undone).concurrency).toBe(5);
});

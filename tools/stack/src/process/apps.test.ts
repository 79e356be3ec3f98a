import { expect, test } from "vitest";
import { graceOf } from "./apps.ts";

test.each([
  [undefined, 30_000],
  ["", 30_000],
  ["60", 65_000],
  ["1", 6_000],
])(
  "a service with SHUTDOWN_TIMEOUT=%s is killed after %i ms, not before it has ended itself",
  (given, ms) => {
    expect(graceOf({ SHUTDOWN_TIMEOUT: given })).toBe(ms);
  },
);

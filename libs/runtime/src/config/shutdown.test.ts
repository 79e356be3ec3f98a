import { expect, test } from "vitest";

import { shutdownProblems } from "./shutdown.ts";

test.each([
  [0, 25, []],
  [24, 25, []],
  [25, 25, [expect.stringContaining("SHUTDOWN_DELAY=25 leaves no time to finish")]],
] as const)("SHUTDOWN_DELAY=%s SHUTDOWN_TIMEOUT=%s: %j", (delay, timeout, problems) => {
  const config = { shutdownDelay: delay, shutdownTimeout: timeout };
  expect(shutdownProblems(config)).toEqual(problems);
});

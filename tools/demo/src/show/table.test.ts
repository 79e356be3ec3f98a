import { expect, test } from "vitest";
import type { DemoResult, QueueResult } from "../measure/result.ts";
import { resultTable } from "./table.ts";

const sha256 = "3f2a9c01d4".padEnd(64, "0");
const queue: QueueResult = {
  received: 34_545,
  redelivered: 1_645,
  distinct: 32_900,
  bytes: 325_279_900,
  sha256,
  latencyMs: { p50: 3.14, p99: 12_345.6 },
  left: { visible: 0, inFlight: 0, delayed: 0 },
};
const result: DemoResult = {
  ok: true,
  problems: [],
  seconds: 300,
  published: { messages: 32_900, bytes: 325_279_900, sha256, eventTypes: {} },
  queues: { audit: queue, counter: queue, slow: queue },
  incidents: [],
};

test("the table fits in 80 columns, even after a hundred rounds", () => {
  const lines = resultTable(result);
  expect(lines.at(-1)).toBe(
    "slow         34,545        1,645    32,900  325,279,900  3f2a9c0  3.1 ms  12.3 s",
  );
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(80);
});

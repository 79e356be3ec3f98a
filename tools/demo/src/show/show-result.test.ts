import { PassThrough } from "node:stream";
import type { WriteStream } from "node:tty";
import { expect, test } from "vitest";
import type { DemoResult, QueueResult } from "../measure/result.ts";
import { Display } from "./display.ts";
import { showResult } from "./show-result.ts";

const sha256 = "3f2a9c01d4".padEnd(64, "0");
const queue: QueueResult = {
  received: 329,
  redelivered: 0,
  distinct: 329,
  bytes: 3_252_799,
  sha256,
  latencyMs: { p50: 3.14, p99: 12.6 },
  left: { visible: 0, inFlight: 0, delayed: 0 },
};

function shown(slow: QueueResult): string[] {
  const stream = new PassThrough();
  const result: DemoResult = {
    ok: true,
    problems: [],
    seconds: 4,
    published: { messages: 329, bytes: 3_252_799, sha256, eventTypes: { issues: 29 } },
    queues: { audit: queue, counter: queue, slow },
    incidents: [],
  };
  showResult(result, new Display(stream as unknown as WriteStream, {}));
  return (stream.read() as Buffer).toString().split("\n");
}

test("what came twice although each service handled it once is explained, in lines of 80 columns", () => {
  const lines = shown({ ...queue, received: 347, redelivered: 18 });
  expect(lines).toContain("18 came to slow again: it fails 5 % of first attempts on purpose.");
  expect(lines.at(-2)).toContain("Each service handled every message exactly once");
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
});

test("where nothing came twice nothing is explained", () => {
  expect(shown(queue).join("\n")).not.toContain("on purpose");
});

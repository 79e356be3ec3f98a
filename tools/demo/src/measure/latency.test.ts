import { expect, test } from "vitest";
import { fingerprint } from "../fingerprint.ts";
import { latencyOf } from "./latency.ts";
import { PublishedLog } from "./published-log.ts";
import { Tally } from "./tally.ts";

test("latency goes from the publish to the first arrival, by nearest rank", () => {
  const log = new PublishedLog();
  const tally = new Tally();
  for (let index = 1; index <= 200; index++) {
    log.add(`m${index}`, { print: fingerprint(""), publishedAt: 1_000 });
    tally.arrivals.set(`m${index}`, 1_000 + index);
  }
  expect(latencyOf(log, tally)).toEqual({ p50: 100, p99: 198 });
});

test("without messages there is none", () => {
  expect(latencyOf(new PublishedLog(), new Tally())).toEqual({ p50: 0, p99: 0 });
});

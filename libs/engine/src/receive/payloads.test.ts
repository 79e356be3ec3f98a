import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { expect, test } from "vitest";

import { Payloads } from "./payloads.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes of what this process still refers to. */
function inUse(): number {
  collectGarbage();
  // Buffers are given back by another thread; the next collection waits for it.
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test("small batches that were written and handed out take no more memory than is counted for them", async () => {
  const count = 20_000;
  const payloads = new Payloads(undefined as never);
  const before = inUse();
  for (let id = 0; id < count; id += 1) {
    // As they are made: of parts, and beside buffers that have nothing to do with them.
    let line = `"messageId":"${id}"`;
    line += `,"body":"${"x".repeat(250)}${id}","attributes":{}`;
    line += `,"subject":"${id}"`;
    payloads.put(`${id}`, [line]);
    Buffer.from("y".repeat(1_500));
    const lines = (await payloads.get([`${id}`])).get(`${id}`) ?? [];
    payloads.jsonOf(lines);
  }
  // Twice their characters, and what each takes by itself: a key, a list, its place in the cache.
  expect((inUse() - before) / count).toBeLessThan(2 * 320 + 300);
  expect((await payloads.get(["7"])).get("7")).toHaveLength(1);
});

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { startProcess, temporaryFolder } from "@sluice/stack";
import { expect, test } from "vitest";

import { probe, probed } from "./watched.ts";

const MIB = 2 ** 20;

/** Makes garbage all the time, and at each SIGHUP keeps 8 MiB for good: half of them on the heap. */
const LEAK = `
const kept = [];
setInterval(() => Array.from({ length: 100_000 }, (_, index) => ({ index })), 10);
process.on("SIGHUP", () => {
  kept.push(Array.from({ length: 2 ** 19 }, (_, index) => index + 0.5), Buffer.alloc(2 ** 22));
  console.log("kept " + kept.length / 2);
});
console.log(JSON.stringify({ event: "api.listening", url: "http://127.0.0.1" }));
`;

test("a process tells what it keeps, its garbage left out", async () => {
  await using folder = await temporaryFolder();
  const script = join(folder.path, "leak.mjs");
  await writeFile(script, LEAK);
  const env = { NODE_OPTIONS: `--import=${probe}` };
  await using service = await startProcess({ name: "leak", script, env });
  const watched = probed(service);
  const before = await watched.look();
  const idle = await watched.look();
  expect(Math.abs(idle.used - before.used)).toBeLessThan(2 * MIB);
  for (let times = 1; times <= 2; times += 1) {
    service.signal("SIGHUP");
    await service.waitFor((line) => (line === `kept ${times}` ? true : undefined), 60_000);
  }
  const after = await watched.look();
  expect(after.used - before.used).toBeGreaterThan(15 * MIB);
  expect(after.used - before.used).toBeLessThan(19 * MIB);
  expect(after.resident).toBeGreaterThan(after.used);
});

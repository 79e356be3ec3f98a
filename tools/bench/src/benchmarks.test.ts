import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { Cleanup } from "@sluice/stack";
import { createTestDatabase } from "@sluice/stack/testing";
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { benchmarks } from "./benchmarks.ts";
import type { Assignment } from "./load/assignment.ts";
import { namesOf } from "./load/load.ts";
import { readCommandLine } from "./options.ts";
import { tableOf } from "./report/table.ts";
import { openClient } from "./systems/open-client.ts";
import { startSluiceOn } from "./systems/sluice/system.ts";
import { Unavailable, type RunningSystem } from "./systems/system.ts";
import { bulk } from "./workloads/throughput.ts";

/** Each benchmark in the smallest size at which it still does all that it does. */
const sizes: Record<string, string> = {
  "fan-out": "--messages 200 --queues 3",
  bodies: "--messages 20 --queues 2 --body-bytes 4096",
  webhooks: "--messages 100 --queues 2",
  small: "--messages 50 --queues 2",
  latency: "--seconds 1 --rate 100 --queues 2",
  width: "--queues 5 --messages 50",
  direct: "--queues 5 --messages 50",
  fifo: "--groups 5 --messages 100",
  "fifo-backlog": "--groups 20 --backlog 200",
  filters: "--messages 100",
  aws: "--messages 50 --queues 2",
  idle: "--long-polls 20 --seconds 1",
  wal: "--messages 200 --queues 2",
  backlog: "--backlog 100,500",
  drain: "--messages 100 --queues 5 --seconds 1",
  "held-transaction": "--seconds 2 --minutes 2 --publish-batch 10",
  soak: "--seconds 2",
};

const cleanup = new Cleanup();
let sluice: RunningSystem;

beforeAll(async () => {
  const database = cleanup.use(await createTestDatabase(inject("databaseUrl")));
  sluice = cleanup.use(await startSluiceOn(database.url, inject("natsUrl")));
});
afterAll(async () => cleanup.run());

test("every benchmark has a size for this test", () => {
  expect(benchmarks.map(({ name }) => name)).toEqual(Object.keys(sizes));
});

test.each(benchmarks)(
  "$name loses and doubles nothing, and has figures",
  { timeout: 180_000 },
  async (benchmark) => {
    const args = `${sizes[benchmark.name]} --rounds 1 --no-warm-up --systems sluice --consumer-processes 1`;
    const { options } = readCommandLine(args.split(" "));
    // It outlives each benchmark.
    const start = async () =>
      Promise.resolve({ ...sluice, [Symbol.asyncDispose]: async () => Promise.resolve() });
    const report = await benchmark
      .run({ options, say: () => undefined, start })
      .catch((error: unknown) => {
        if (error instanceof Unavailable) return undefined;
        throw error;
      });
    if (report === undefined) return;
    expect(report.name).toBe(benchmark.name);
    if (report.rows.length === 0) return expect(report.notes.join()).toContain("not available");
    expect(report.rows.flatMap(({ failure }) => failure ?? [])).toEqual([]);
    const figures = report.rows.flatMap((row) => Object.values(row.figures));
    expect(figures.length).toBeGreaterThan(0);
    for (const { median } of figures) expect(median).not.toBeNaN();
    for (const line of tableOf(report)) expect(line.length).toBeLessThanOrEqual(100);
  },
);

test.each([
  { name: "fan-out", system: "fauxqs" },
  { name: "aws", system: "jetstream" },
])("$system is left out of $name, with the reason", async ({ name, system }) => {
  const benchmark = benchmarks.find((each) => each.name === name);
  const { options } = readCommandLine(["--rounds", "1", "--systems", system]);
  const start = () => Promise.reject(new Error(`${system} was started`));
  const report = await benchmark?.run({ options, say: () => undefined, start });
  expect(report).toMatchObject({
    rows: [],
    notes: [expect.stringMatching(/skipped .*AWS' clients/)],
  });
});

test("a process that consumes ends with the benchmark", { timeout: 60_000 }, async () => {
  const names = namesOf({ ...bulk, queues: 1 }, "ended");
  const { address } = sluice;
  await using client = await openClient("sluice", address, bulk);
  await client.create(names);
  const assignment: Assignment = {
    role: "consumer",
    system: "sluice",
    address,
    load: bulk,
    names,
    consumes: names.queues,
  };
  const worker = fork(fileURLToPath(new URL("../dist/load/worker.js", import.meta.url)), {
    serialization: "advanced",
    execArgv: [],
  });
  cleanup.defer(async () => Promise.resolve(void worker.kill("SIGKILL")));
  worker.send(assignment);
  const [ready] = (await once(worker, "message")) as [unknown];
  expect(ready).toMatchObject({ type: "ready" });
  worker.send("start");
  worker.disconnect();
  expect(await once(worker, "exit")).toEqual([0, null]);
});

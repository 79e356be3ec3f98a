import fc from "fast-check";
import { afterAll, test } from "vitest";

import { Broker } from "./broker.ts";
import { commands, finish } from "./model/commands.ts";
import { World } from "./model/world.ts";

const seed = Number(process.env["TEST_SEED"] ?? Date.now() % 2 ** 31);
const runs = Number(process.env["TEST_RUNS"] ?? 40);

const broker = await Broker.start({ engines: 2, dispatchers: 2, traceHours: 48 });
afterAll(() => broker[Symbol.asyncDispose]());

/*
 * Bugs that were planted in the engine, and found by 60 runs (TEST_RUNS=60 TEST_SEED=7 or 11): a claim that does not count the
 * receive (run 4), a dead letter one receive too late (4), a purge that leaves what is in flight (6), a receive that leaves its
 * FIFO group available (19), a split that forgets who holds it (22). Not found so far, since steps that show them are rare: a
 * redrive that keeps the receive count, a deduplication window of four minutes, a cancel of what is in flight.
 *
 * TEST_RUNS=300 is the long form.
 */
test(
  `any sequence of calls does what the model says (seed ${seed})`,
  { timeout: 20_000 + runs * 2_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.commands(commands, { maxCommands: 40, size: "max" }),
        async (sequence) => {
          const { model, real } = await World.begin(broker);
          await fc.asyncModelRun(() => ({ model, real }), sequence);
          await finish(model, real);
        },
      ),
      { seed, numRuns: runs, endOnFailure: process.env["CI"] === undefined },
    );
  },
);

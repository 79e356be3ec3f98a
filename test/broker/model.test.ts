import fc from "fast-check";
import { afterAll, test } from "vitest";

import { Broker } from "./broker.ts";
import { commands, finish } from "./model/commands.ts";
import { World } from "./model/world.ts";

const seed = Number(process.env["TEST_SEED"] ?? Date.now() % 2 ** 31);
const runs = Number(process.env["TEST_RUNS"] ?? 60);

const broker = await Broker.start({ engines: 2, dispatchers: 2 });
afterAll(() => broker[Symbol.asyncDispose]());

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

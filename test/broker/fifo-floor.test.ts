import fc from "fast-check";
import { afterAll, expect, test } from "vitest";

import { Broker } from "./broker.ts";
import type { ReceivedMessage } from "./client.ts";
import { one } from "./fifo.ts";

const seed = Number(process.env["TEST_SEED"] ?? Date.now() % 2 ** 31);
const runs = Number(process.env["TEST_RUNS"] ?? 30);

const broker = await Broker.start({ engines: 2, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());

const by = fc.nat({ max: 1 });
/** A part of all that was received so far; one that comes to nothing is the latest. */
const pick = fc.double({ min: 0, max: 1, noNaN: true });
const step = fc.oneof(
  fc.record({ do: fc.constant("send" as const), by, group: fc.nat({ max: 3 }) }),
  fc.record({ do: fc.constant("receive" as const), by }),
  fc.record({ do: fc.constant("acknowledge" as const), by, pick }),
  fc.record({ do: fc.constant("release" as const), by, pick }),
  // Both ask again and again meanwhile, so that their floors follow.
  fc.record({ do: fc.constant("wait" as const), seconds: fc.integer({ min: 2, max: 40 }) }),
);

/** What is in no process' way is found by every process, at once: looks for what came late play no part in it. */
test(
  `two processes skip no group, wherever their scans begin (seed ${seed})`,
  { timeout: 60_000 + runs * 12_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
        const queue = await broker.newQueue({ fifo: true });
        const id = await broker.idOf(queue);
        const received: ReceivedMessage[] = [];
        const receive = async (engine: number) => {
          const [before] = await broker.sql<{ must: number; next: number | null }[]>`
            SELECT count(*) FILTER (WHERE available_at <= now)::int AS must, extract(epoch FROM min(available_at))::float8 AS next
            FROM (SELECT clock_timestamp() AS now) AS clock, fifo_groups WHERE queue_id = ${id}::bigint`;
          const messages = await broker.client(engine).receive(queue);
          const [after] = await broker.sql<{ now: number }[]>`
            SELECT extract(epoch FROM clock_timestamp())::float8 AS now`;
          if (before!.must > 0) expect(messages).not.toEqual([]);
          // What became available in between may be received, or not.
          if ((before!.next ?? Infinity) > after!.now) expect(messages).toEqual([]);
          received.push(...messages);
        };
        const picked = (at: number) => {
          const message = received[Math.floor(at * received.length)] ?? received.at(-1);
          return message ? [message] : [];
        };
        for (const [index, each] of steps.entries()) {
          if (each.do === "send")
            await broker.client(each.by).send(queue, [one(`g${each.group}`, `m${index}`)]);
          else if (each.do === "receive") await receive(each.by);
          else if (each.do === "acknowledge")
            await broker.client(each.by).acknowledge(queue, picked(each.pick));
          else if (each.do === "release")
            await broker.client(each.by).hide(queue, picked(each.pick), 0);
          else {
            for (let second = 0; second < each.seconds; second += 2) {
              await broker.clock.advance(2);
              await receive(0);
              await receive(1);
            }
          }
        }
      }),
      { seed, numRuns: runs, endOnFailure: process.env["CI"] === undefined },
    );
  },
);

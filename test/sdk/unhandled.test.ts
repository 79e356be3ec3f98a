import { connect, createAdmin, json, queue } from "@sluice/client";
import type { Connection } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { countsOf, empty, eventually, gate, noting, queueOf, range } from "./consumer-setup.ts";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let connection: Connection;

beforeAll(async () => {
  sluice = await startSluice();
  connection = connect({ url: sluice.url });
});
afterAll(() => sluice[Symbol.asyncDispose]());

/** A queue of numbers whose schema takes its time, and the same queue without it. */
async function slowlyRead(visibilityTimeout: number, messages = 1) {
  const plain = await queueOf(connection, messages, visibilityTimeout);
  const reading = gate();
  const { open: finish, opened: finished } = gate();
  const schema = {
    "~standard": {
      version: 1 as const,
      vendor: "test",
      types: undefined as { input: number; output: number } | undefined,
      async validate(value: unknown) {
        reading.open();
        await finished;
        return { value: value as number };
      },
    },
  };
  return { plain, slow: queue(plain.name, schema), reading: reading.opened, finish };
}

/** Runs a consumer one way or the other; notes what each call of its handler was about. */
const ways = {
  run: (consumer: ReturnType<typeof createConsumer<number>>, handled: number[][]) =>
    consumer.run(({ payload }) => handled.push([payload])),
  runBatches: (consumer: ReturnType<typeof createConsumer<number>>, handled: number[][]) =>
    consumer.runBatches((messages) => handled.push(messages.map(({ payload }) => payload))),
};

describe.each(["run", "runBatches"] as const)(
  "%s: while the schema of a message is at work",
  (way) => {
    test("stop() gives the message back, and no handler begins", async () => {
      const { plain, slow, reading, finish } = await slowlyRead(30, 2);
      const { failures, options } = noting();
      const consumer = createConsumer(connection, slow, options);
      const handled: number[][] = [];
      const run = ways[way](consumer, handled);
      await reading;
      const stopped = consumer.stop();
      finish();
      await stopped;
      await run;
      expect(handled).toEqual([]);
      expect(failures).toEqual([]);
      expect(await countsOf(connection, plain)).toEqual({ ...empty, visible: 2 });
      const counts: number[] = [];
      const next = createConsumer(connection, plain);
      await next.run(({ receiveCount }) => {
        if (counts.push(receiveCount) === 2) void next.stop();
      });
      expect(counts).toEqual([1, 1]);
    });

    test("stop() waits for it no longer than for a handler, and then none begins", async () => {
      const { plain, slow, reading, finish } = await slowlyRead(30);
      const { failures, options } = noting({ drainTimeoutMs: 100 });
      const consumer = createConsumer(connection, slow, options);
      const handled: number[][] = [];
      const run = ways[way](consumer, handled);
      await reading;
      await consumer.stop();
      await run;
      const byNext: number[][] = [];
      await using next = createConsumer(connection, plain);
      void ways.run(next, byNext);
      await eventually(() => expect(byNext).toEqual([[0]]));
      finish();
      await vi.waitFor(() => expect(consumer.state).toBe("stopped"));
      await new Promise(setImmediate);
      expect(handled).toEqual([]);
      expect(failures).toEqual([]);
    });

    test("a message whose time is over is left to others", async () => {
      const { plain, slow, reading, finish } = await slowlyRead(30);
      const { failures, options } = noting({
        visibilityTimeout: 1,
        autoExtend: false,
        concurrency: 1,
        prefetch: 0,
      });
      await using consumer = createConsumer(connection, slow, options);
      const handled: number[][] = [];
      void ways[way](consumer, handled);
      await reading;
      const byOther: number[][] = [];
      await using other = createConsumer(connection, plain);
      void ways.run(other, byOther);
      await eventually(() => expect(byOther).toEqual([[0]]));
      finish();
      await other.stop();
      await consumer.stop();
      expect(handled).toEqual([]);
      expect(failures).toEqual([]);
      expect(await countsOf(connection, plain)).toEqual(empty);
    });
  },
);

describe("what no handler has seen in time", () => {
  test.concurrent.each(["run", "runBatches"] as const)(
    "%s: does not count as received when the server hides it still",
    async (way) => {
      const numbers = await queueOf(connection, 1, 6);
      let receives = 0;
      // Its time counts from before it is sent.
      const fetch: typeof globalThis.fetch = async (input, init) => {
        if ((input as string).endsWith("/receive") && ++receives === 1)
          await new Promise((resolve) => setTimeout(resolve, 6_100));
        return await globalThis.fetch(input, init);
      };
      const { options } = noting({ wait: 1 });
      const consumer = createConsumer(connect({ url: sluice.url, fetch }), numbers, options);
      const counts: number[] = [];
      const handle = (receiveCount: number) => {
        counts.push(receiveCount);
        void consumer.stop();
      };
      if (way === "run") await consumer.run(({ receiveCount }) => handle(receiveCount));
      else await consumer.runBatches(([message]) => handle(message!.receiveCount));
      expect(counts).toEqual([1]);
    },
  );

  test("is no dead letter, where handlers keep the process busy for longer than messages are hidden", async () => {
    const admin = createAdmin(connection);
    const dead = queue(unique("dead"), json<number>());
    const numbers = queue(unique("numbers"), json<number>());
    await admin.queues.create(dead);
    await admin.queues.create(numbers, {
      visibilityTimeout: 2,
      redrive: { deadLetterQueue: dead.name, maxReceiveCount: 3 },
    });
    await createProducer(connection).sendAll(numbers, range(5));
    const { options } = noting({ concurrency: 1, prefetch: 4 });
    await using consumer = createConsumer(connection, numbers, options);
    const handled = new Set<number>();
    void consumer.run(({ payload }) => {
      handled.add(payload);
      const until = performance.now() + 2_100;
      while (performance.now() < until);
    });
    await vi.waitFor(
      async () => {
        const { visible, inFlight } = await countsOf(connection, numbers);
        expect(visible + inFlight).toBe(0);
      },
      { timeout: 80_000, interval: 500 },
    );
    await consumer.stop();
    expect([...handled].sort((a, b) => a - b)).toEqual(range(5));
  }, 90_000);
});

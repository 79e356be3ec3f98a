import { connect, createAdmin, queue } from "@sluice/client";
import type { Connection, QueueDeclaration } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import type { Consumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  countsOf,
  empty,
  eventually,
  gate,
  noting,
  otherThanSlow,
  queueOf,
  range,
} from "./consumer-setup.ts";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let connection: Connection;

beforeAll(async () => {
  sluice = await startSluice();
  connection = connect({ url: sluice.url });
});
afterAll(() => sluice[Symbol.asyncDispose]());

type Body = QueueDeclaration<never, unknown>;

/** Bodies with how often they have been received. */
type Handled = [body: string, receiveCount: number][];

/** Handles what it gets in no time. */
function idleConsumer(of: Body): { consumer: Consumer<unknown>; handled: Handled } {
  const handled: Handled = [];
  const consumer = createConsumer(connection, of);
  void consumer.run(({ body, receiveCount }) => handled.push([body, receiveCount]));
  return { consumer, handled };
}

type Until = () => Promise<void> | undefined;

/** Hangs at each message until it is let go on. */
const hangs = {
  "in a handler": (consumer: Consumer<unknown>, handled: Handled, until: Until) =>
    consumer.run(async ({ body, receiveCount }) => {
      handled.push([body, receiveCount]);
      await until();
    }),
  "in a loop": async (consumer: Consumer<unknown>, handled: Handled, until: Until) => {
    for await (const { body, receiveCount } of consumer) {
      handled.push([body, receiveCount]);
      await until();
    }
  },
};

// Side by side, for they wait for long: of a message that is hidden for a short time only, a process or a database that
// stands still for a moment makes one that has been received before.
const seconds = 10;
const aside = { timeout: 120_000, concurrent: true };

describe.each(["in a handler", "in a loop"] as const)(
  "behind one that hangs %s",
  aside,
  (where) => {
    test.each([
      ["with nothing more to fetch", 4],
      ["with a receive under way", 8],
    ])(
      "what was fetched ahead goes to an idle consumer after one timeout, as if not received, %s",
      async (_, prefetch) => {
        const numbers = await queueOf(connection, 5, seconds);
        const { failures, options } = noting({ concurrency: 1, prefetch });
        await using consumer = createConsumer(connection, numbers, options);
        const { open, opened } = gate();
        const handled: Handled = [];
        void hangs[where](consumer, handled, () => opened);
        await eventually(async () =>
          expect(await countsOf(connection, numbers)).toEqual({ ...empty, inFlight: 5 }),
        );
        const idle = idleConsumer(numbers);
        await eventually(() => expect(idle.handled).toHaveLength(4), 45_000);
        await idle.consumer.stop();
        expect(idle.handled.sort()).toEqual(range(4).map((index) => [`${index + 1}`, 1]));
        expect(await countsOf(connection, numbers)).toEqual({ ...empty, inFlight: 1 });
        open();
        await eventually(async () => expect(await countsOf(connection, numbers)).toEqual(empty));
        await consumer.stop();
        expect(handled).toEqual([["0", 1]]);
        expect(otherThanSlow(failures)).toEqual([]);
      },
    );

    test("nothing more is fetched ahead, until one is handled in time", async () => {
      const numbers = await queueOf(connection, 1, seconds);
      const { failures, options } = noting({ concurrency: 1, prefetch: 4 });
      await using consumer = createConsumer(connection, numbers, options);
      const gates = [gate(), gate()];
      const handled: Handled = [];
      void hangs[where](consumer, handled, () => gates[handled.length - 1]?.opened);
      await eventually(() => expect(handled).toHaveLength(1));
      const began = performance.now();
      await eventually(
        () => expect(performance.now() - began).toBeGreaterThan(seconds * 1_500),
        45_000,
      );
      const producer = createProducer(connection);
      const visible = (count: number) =>
        eventually(async () =>
          expect(await countsOf(connection, numbers)).toEqual({
            visible: count,
            inFlight: 1,
            delayed: 0,
          }),
        );
      // The receive that was under way may take those that come first, and gives them back.
      for (const number of [1, 2, 3]) {
        await producer.send(numbers, number);
        await visible(number);
      }
      gates[0]!.open();
      await eventually(() => expect(handled).toHaveLength(2));
      await visible(2);
      gates[1]!.open();
      await eventually(async () => expect(await countsOf(connection, numbers)).toEqual(empty));
      await consumer.stop();
      expect(handled.sort()).toEqual(range(4).map((index) => [`${index}`, 1]));
      expect(otherThanSlow(failures)).toEqual([]);
    });
  },
);

test(
  "behind handlers that hang, whole groups of a FIFO queue go to an idle consumer, in their order",
  aside,
  async () => {
    const steps = queue(unique("steps") + ".fifo");
    await createAdmin(connection).queues.create(steps, { visibilityTimeout: seconds });
    const bodies = range(3).flatMap((number) =>
      ["a", "b", "c"].map((group) => `${group}${number}`),
    );
    await createProducer(connection).sendAll(steps, bodies, {
      each: (body) => ({ groupId: body.charAt(0), deduplicationId: body }),
    });
    const { failures, options } = noting({ concurrency: 1, prefetch: 8 });
    await using consumer = createConsumer(connection, steps, options);
    const { open, opened } = gate();
    const handled: Handled = [];
    void hangs["in a handler"](consumer, handled, () => opened);
    await eventually(async () =>
      expect(await countsOf(connection, steps)).toEqual({ ...empty, inFlight: 9 }),
    );
    const idle = idleConsumer(steps);
    await eventually(() => expect(idle.handled).toHaveLength(6), 45_000);
    await idle.consumer.stop();
    // What comes after it in its group nobody else could have.
    expect(await countsOf(connection, steps)).toEqual({ ...empty, inFlight: 3 });
    const of = (all: Handled, group: string) => all.filter(([body]) => body.startsWith(group));
    const inOrder = (group: string) => range(3).map((number) => [`${group}${number}`, 1]);
    const groups = ["a", "b", "c"].filter((group) => !handled[0]![0].startsWith(group));
    for (const group of groups) expect(of(idle.handled, group)).toEqual(inOrder(group));
    open();
    await eventually(async () => expect(await countsOf(connection, steps)).toEqual(empty));
    await consumer.stop();
    expect(handled).toEqual(inOrder(handled[0]![0].charAt(0)));
    expect(otherThanSlow(failures)).toEqual([]);
  },
);

test.each([
  ["that take longer than the timeout", false],
  ["that acknowledge first and then take longer", true],
])("after the process stood still, handlers %s run side by side again", async (_, acksFirst) => {
  const numbers = await queueOf(connection, 60, 2);
  const { options } = noting({ concurrency: 3, prefetch: 3, wait: 1 });
  await using consumer = createConsumer(connection, numbers, options);
  let running = 0;
  let together = 0;
  const done = consumer.run(async (message) => {
    running += 1;
    together = Math.max(together, running);
    if (acksFirst) await message.ack();
    await pause(2_700);
    running -= 1;
  });
  await eventually(() => expect(running).toBe(3));
  standStill(3_200);
  // What waited has lapsed meanwhile: one is taken at a time, at first.
  together = 0;
  await eventually(() => expect(together).toBeGreaterThan(1));
  await consumer.stop();
  await done;
});

function standStill(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

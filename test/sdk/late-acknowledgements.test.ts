import { connect, createAdmin, json, queue } from "@sluice/client";
import type { Connection } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import type { Consumer, ReceivedMessage } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  codeOf,
  countsOf,
  empty,
  eventually,
  gate,
  noting,
  otherThanSlow,
  queueOf,
  range,
} from "./consumer-setup.ts";
import { faultyProxy } from "./faulty-proxy.ts";
import type { Fault } from "./faulty-proxy.ts";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let connection: Connection;

beforeAll(async () => {
  sluice = await startSluice();
  connection = connect({ url: sluice.url });
});
afterAll(() => sluice[Symbol.asyncDispose]());

/** Keeps the process from doing anything else. */
function compute(ms: number): void {
  const done = performance.now() + ms;
  while (performance.now() < done);
}

type Handle = (message: ReceivedMessage<number>) => Promise<unknown>;
type Mode = (consumer: Consumer<number>, handle: Handle) => Promise<void>;

const modes: [string, Mode][] = [
  ["one by one", (consumer, handle) => consumer.run(handle)],
  [
    "in batches",
    (consumer, handle) => consumer.runBatches((messages) => Promise.all(messages.map(handle))),
  ],
  [
    "in a loop",
    async (consumer, handle) => {
      for await (const message of consumer) await handle(message);
    },
  ],
];

describe.each(modes)("%s", (_, runs) => {
  test.each([
    ["with one at a time", { concurrency: 1, prefetch: 0 }],
    ["with a receive that waits meanwhile", {}],
    ["with receives side by side", { receivers: 3 }],
  ])("what is computed for longer than it is hidden is handled once, %s", async (__, limits) => {
    const numbers = await queueOf(connection, 1);
    const { options } = noting({ autoExtend: false, ...limits });
    await using consumer = createConsumer(connection, numbers, options);
    const counts: number[] = [];
    const run = runs(consumer, async (message) => {
      counts.push(message.receiveCount);
      await message.extend(1);
      compute(1_500);
    });
    await eventually(async () => {
      expect(await countsOf(connection, numbers)).toEqual(empty);
      expect(counts).not.toHaveLength(0);
    });
    await consumer.stop();
    await run;
    expect(counts).toHaveLength(1);
  });

  test("its acknowledgement goes before the receive that could bring it again", async () => {
    const [dead, jobs] = [queue(unique("dead")), queue(unique("jobs"), json<number>())];
    const { queues } = createAdmin(connection);
    await queues.create(dead);
    const redrive = { deadLetterQueue: dead.name, maxReceiveCount: 1 };
    await queues.create(jobs, { redrive });
    await createProducer(connection).send(jobs, 1);
    const { failures, options } = noting({ concurrency: 1, prefetch: 0, autoExtend: false });
    await using consumer = createConsumer(connection, jobs, options);
    const run = runs(consumer, async (message) => {
      await message.extend(1);
      compute(1_500);
    });
    await eventually(async () => expect((await queues.get(jobs)).totals.acknowledged).toBe(1));
    await consumer.stop();
    await run;
    expect(failures).toEqual([]);
    expect(await countsOf(connection, dead)).toEqual(empty);
  });
});

test("what comes again while its handler runs is acknowledged when that has returned, and not handled", async () => {
  const numbers = await queueOf(connection, 1);
  const { failures, options } = noting({ concurrency: 1, autoExtend: false, wait: 1 });
  await using consumer = createConsumer(connection, numbers, options);
  const { open, opened } = gate();
  let handled = 0;
  const run = consumer.run(async (message) => {
    handled += 1;
    await message.extend(1);
    await opened;
  });
  // Then it waits for the handler.
  await eventually(async () => expect(await receiveCountOf(numbers)).toBe(2));
  open();
  await eventually(async () => expect(await countsOf(connection, numbers)).toEqual(empty));
  await consumer.stop();
  await run;
  expect(handled).toBe(1);
  expect(failures.map((failure) => [failure.stage, codeOf(failure)])).toEqual([
    ["acknowledge", "receipt_handle_expired"],
  ]);
});

test("what has failed and comes again is handled again", async () => {
  const numbers = await queueOf(connection, 1, 1);
  const { options } = noting({ concurrency: 1, prefetch: 0, autoExtend: false, backoff: () => 0 });
  await using consumer = createConsumer(connection, numbers, options);
  let handled = 0;
  const run = consumer.run(() => {
    handled += 1;
    if (handled < 3) throw new Error("failed");
    void consumer.stop();
  });
  await run;
  expect(handled).toBe(3);
  expect(await countsOf(connection, numbers)).toEqual(empty);
});

describe("while another message of its receive is extended", () => {
  const often = (fault: Fault) => range(5_000).map(() => fault);

  test.each([
    ["by its handler, which is told", true],
    ["when that has returned, which is reported", false],
  ])("what another consumer has by now is not acknowledged, %s", async (_, isAwaited) => {
    const numbers = await queueOf(connection, 2, 2);
    await using proxy = await faultyProxy(sluice.url);
    const { failures, options } = noting({ concurrency: 2, prefetch: 0 });
    const away = connect({ url: proxy.url, retry: { maxDelayMs: 100 } });
    await using first = createConsumer(away, numbers, options);
    await using second = createConsumer(connection, numbers, { visibilityTimeout: 30, wait: 1 });
    const [begun, taken, told] = [gate(), gate(), gate()];
    let result: unknown;
    const run = first.run(async (message) => {
      if (message.payload === 1) return await told.opened;
      proxy.fail("/ack", ...often("cut"));
      void first.stop();
      begun.open();
      if (isAwaited) result = await message.ack().catch((error: unknown) => error);
      return undefined;
    });
    await begun.opened;
    const other = second.run(async ({ payload }) => {
      if (payload === 0) taken.open();
      await told.opened;
    });
    await taken.opened;
    proxy.mend();
    const refusal = { code: "receipt_handle_expired", outcomeUnknown: true };
    await eventually(() => {
      if (isAwaited) expect(result).toMatchObject(refusal);
      else
        expect(otherThanSlow(failures)).toMatchObject([{ stage: "acknowledge", error: refusal }]);
    });
    told.open();
    await Promise.all([run, second.stop()]);
    await other;
  });

  test("an acknowledgement is repeated for as long as its own message is held", async () => {
    const numbers = await queueOf(connection, 2, 2);
    await using proxy = await faultyProxy(sluice.url);
    const { options } = noting({ concurrency: 2, prefetch: 0 });
    const retry = { budgetMs: 300, maxDelayMs: 100 };
    await using consumer = createConsumer(connect({ url: proxy.url, retry }), numbers, options);
    const { open, opened } = gate();
    const began = performance.now();
    let result: unknown;
    let after = 0;
    let isTried = false;
    const run = consumer.run(async (message) => {
      if (message.payload === 1 || isTried) return await opened;
      isTried = true;
      proxy.fail("/ack", ...often("unavailable"));
      result = await message.ack().catch((error: unknown) => error);
      after = performance.now() - began;
      return undefined;
    });
    await eventually(() => expect(result).toMatchObject({ code: "unavailable" }));
    expect(after).toBeGreaterThan(2_000);
    proxy.mend();
    open();
    await eventually(async () => expect(await countsOf(connection, numbers)).toEqual(empty));
    await consumer.stop();
    await run;
  });

  test("what is handled is not handled again, though its acknowledgement waits behind others", async () => {
    const numbers = await queueOf(connection, 3);
    await using proxy = await faultyProxy(sluice.url);
    proxy.fail("/ack", ...often("cut"));
    const { options } = noting({ concurrency: 5, autoExtend: false });
    const away = connect({ url: proxy.url, retry: { maxDelayMs: 100 } });
    await using consumer = createConsumer(away, numbers, options);
    const { open, opened } = gate();
    const handled: number[] = [];
    const run = consumer.run(async (message) => {
      const { payload } = message;
      handled.push(payload);
      if (payload === 1) await eventually(() => expect(proxy.count("/ack")).toBeGreaterThan(0));
      if (payload === 2) await opened;
      else await message.extend(1);
    });
    // The others have come again; they may be gone by now, with the receive after that.
    await eventually(async () => {
      const first: string[] = [];
      for await (const { body, receiveCount } of createAdmin(connection).queues.peek(numbers))
        if (receiveCount < 2) first.push(body);
      expect(first).toEqual(["2"]);
    });
    proxy.mend();
    open();
    await eventually(async () => expect(await countsOf(connection, numbers)).toEqual(empty));
    await consumer.stop();
    await run;
    expect(handled).toEqual([0, 1, 2]);
  });
});

/** How often the only message of a queue has been received. */
async function receiveCountOf(of: { name: string }): Promise<number | undefined> {
  for await (const { receiveCount } of createAdmin(connection).queues.peek(of.name))
    return receiveCount;
  return undefined;
}

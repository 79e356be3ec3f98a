import { connect, createAdmin } from "@sluice/client";
import type { Connection, RetryOptions } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import type { Consumer, ConsumerOptions, ReceivedMessage } from "@sluice/consumer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { countsOf, empty, eventually, noting, queueOf, range } from "./consumer-setup.ts";
import { faultyProxy } from "./faulty-proxy.ts";
import type { FaultyProxy } from "./faulty-proxy.ts";
import { startSluice } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let connection: Connection;

beforeAll(async () => {
  sluice = await startSluice();
  connection = connect({ url: sluice.url });
});
afterAll(() => sluice[Symbol.asyncDispose]());

type Handle = (message: ReceivedMessage<number>) => Promise<void>;
type Mode = (consumer: Consumer<number>, handle: Handle) => Promise<void>;

const modes: [string, Mode][] = [
  ["one by one", (consumer, handle) => consumer.run(handle)],
  [
    "in batches",
    (consumer, handle) =>
      consumer.runBatches((messages) => Promise.allSettled(messages.map(handle))),
  ],
  [
    "in a loop",
    async (consumer, handle) => {
      for await (const message of consumer) await handle(message).catch(() => {});
    },
  ],
];

/** A consumer behind the proxy of a message that is hidden for 2 s, or as long as is said. */
async function consumerBehind(
  proxy: FaultyProxy,
  { retry, ...given }: ConsumerOptions & { retry: RetryOptions | false },
) {
  const numbers = await queueOf(connection, 1, 2);
  const { failures, options } = noting({ concurrency: 1, prefetch: 0, wait: 1, ...given });
  const consumer = createConsumer(connect({ url: proxy.url, retry }), numbers, options);
  return { numbers, consumer, failures };
}

describe.each(modes)("%s", (_, runs) => {
  test.each([
    ["at once", false],
    ["for as long as it is held", { budgetMs: 2_500, maxDelayMs: 200 }],
  ] as const)("what could not be released, tried %s, comes again", async (__, retry) => {
    await using proxy = await faultyProxy(sluice.url);
    const { numbers, consumer } = await consumerBehind(proxy, { retry });
    await using _consumer = consumer;
    proxy.fail("/visibility", ...range(retry ? 1_000 : 1).map(() => "unavailable" as const));
    const counts: number[] = [];
    let released: unknown = "not yet";
    const run = runs(consumer, async (message) => {
      // A process that stands still for two seconds may have received it more often.
      if (counts.push(message.receiveCount) > 1) return;
      released = await message.release({ delay: 1 }).catch((error: unknown) => error);
    });
    await eventually(async () => {
      expect(released).not.toBe("not yet");
      expect(await countsOf(connection, numbers)).toEqual(empty);
    });
    await consumer.stop();
    await run;
    expect(released).toMatchObject({ code: "unavailable" });
    expect(counts).toHaveLength(2);
    expect(counts[1]).toBeGreaterThan(counts[0]!);
    expect((await createAdmin(connection).queues.get(numbers)).totals.acknowledged).toBe(1);
  });
});

test("what could not be released and is acknowledged then by its handler is", async () => {
  await using proxy = await faultyProxy(sluice.url);
  proxy.fail("/visibility", "unavailable");
  const patient = { retry: false, visibilityTimeout: 30 } as const;
  const { numbers, consumer, failures } = await consumerBehind(proxy, patient);
  await using _consumer = consumer;
  let handled = 0;
  const run = consumer.run(async (message) => {
    handled += 1;
    await message.release().catch(() => message.ack());
  });
  await eventually(async () => expect(await countsOf(connection, numbers)).toEqual(empty));
  await consumer.stop();
  await run;
  expect(handled).toBe(1);
  expect(failures).toEqual([]);
});

test("what could not be acknowledged and then not be released comes again", async () => {
  await using proxy = await faultyProxy(sluice.url);
  proxy.fail("/ack", "unavailable");
  proxy.fail("/visibility", "unavailable");
  const { numbers, consumer } = await consumerBehind(proxy, { retry: false });
  await using _consumer = consumer;
  let handled = 0;
  const run = consumer.run(async (message) => {
    handled += 1;
    if (handled === 1) await message.ack().catch(() => message.release().catch(() => {}));
  });
  await eventually(async () => {
    expect(await countsOf(connection, numbers)).toEqual(empty);
    expect(handled).toBeGreaterThan(0);
  });
  await consumer.stop();
  await run;
  expect(handled).toBe(2);
});

import { cleanUp, type QueueSettings } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { newFifoTopic, one } from "./fifo.ts";
import { until } from "./interleaving.ts";

const broker = await Broker.start();
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const { engine } = broker;

/** Messages are visible after 1,000 s, and kept for 600. */
async function newQueue({ fifo = false }: { fifo?: boolean }) {
  return await broker.newQueue({ fifo, delay: 1_000, retention: 600 });
}

async function sentTo(settings: { fifo?: boolean }) {
  const queue = await newQueue(settings);
  await client.send(queue, settings.fifo === true ? [one("a", "m")] : ["m"]);
  return queue;
}

/** Comes to its queue by a topic, within a notification where that is not said to be raw. */
async function publishedTo(
  settings: { fifo?: boolean },
  { fifoTopic = false, rawDelivery = true } = {},
) {
  const queue = await newQueue(settings);
  const topic = fifoTopic ? await newFifoTopic(broker, []) : await broker.newTopic();
  await engine.subscribe(ACCOUNT, topic, queue, { rawDelivery });
  await client.publish(topic, fifoTopic ? [one("a", "m")] : ["m"]);
  await until(async () => (await broker.counts(queue)).delayed === 1);
  return queue;
}

/** Comes to its queue out of the archive. */
async function replayedTo(settings: { fifo?: boolean }) {
  const fifoTopic = settings.fifo === true;
  const queue = await newQueue(settings);
  const topic = fifoTopic ? await newFifoTopic(broker, []) : await broker.newTopic();
  await engine.topics.update(ACCOUNT, topic, { archive: { days: 1 } });
  await client.publish(topic, fifoTopic ? [one("a", "m")] : ["m"]);
  await broker.untilFannedOut();
  await engine.subscribe(ACCOUNT, topic, queue, { replayFrom: { at: new Date(0) } });
  await until(async () => (await broker.counts(queue)).delayed === 1);
  return queue;
}

describe("a message that its queue delays for longer than it keeps messages is kept from the end of its delay on", () => {
  test.each([
    ["sent", () => sentTo({})],
    ["sent to a FIFO queue", () => sentTo({ fifo: true })],
    ["published", () => publishedTo({})],
    ["published, in a notification", () => publishedTo({}, { rawDelivery: false })],
    ["of a FIFO topic", () => publishedTo({ fifo: true }, { fifoTopic: true })],
    ["of a FIFO topic, in a standard queue", () => publishedTo({}, { fifoTopic: true })],
    ["replayed", () => replayedTo({})],
    ["replayed to a FIFO queue", () => replayedTo({ fifo: true })],
  ])("%s", async (_, comes) => {
    const queue = await comes();
    await broker.clock.advance(950);
    expect(await cleanedUp(queue)).toMatchObject({ delayed: 1, oldestMessageAge: 0 });
    await broker.clock.advance(60);
    expect(await client.receive(queue, { visibilityTimeout: 1 })).toMatchObject([
      { receiveCount: 1 },
    ]);
    await broker.clock.advance(540);
    expect(await client.receive(queue, { visibilityTimeout: 1 })).toMatchObject([
      { receiveCount: 2 },
    ]);
    await broker.clock.advance(60);
    expect(await client.receive(queue)).toEqual([]);
    expect(await cleanedUp(queue)).toMatchObject({ totals: { sent: 1, expired: 1 } });
  });
});

test("its notification tells when it was published", async () => {
  for (const fifoTopic of [false, true]) {
    const queue = await publishedTo({ fifo: fifoTopic }, { fifoTopic, rawDelivery: false });
    const [published] = await broker.sql<{ at: Date }[]>`
      SELECT max(sent_at) AS at FROM batches`;
    await broker.clock.advance(1_001);
    const [received] = await client.receive(queue);
    expect(
      Date.parse((JSON.parse(received?.body ?? "{}") as { Timestamp: string }).Timestamp),
    ).toBe(Math.floor(Number(published?.at)));
  }
});

test.each<Partial<QueueSettings>>([{}, { fifo: true }])("a purge deletes it: %o", async (kind) => {
  const queue = await publishedTo(kind, { fifoTopic: kind.fifo === true });
  expect(await engine.purge(ACCOUNT, queue)).toBe(1);
  expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
});

/** What the queue has, as soon as what has expired is cleaned up. */
async function cleanedUp(queue: string) {
  // The dispatcher may be about it at the same time, and then nobody else is.
  await until(async () => (await cleanUp(broker.database.maintenance)) !== undefined);
  return await engine.queues.counts(await engine.queues.get(ACCOUNT, queue));
}

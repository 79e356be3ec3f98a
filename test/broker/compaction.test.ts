import { cleanUp } from "@sluice/engine";
import { afterAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { until } from "./interleaving.ts";
import { bury, newPair } from "./dead-letters.ts";
import { finishInOrder, newFifoTopic } from "./fifo.ts";

const broker = await Broker.start({ engines: 2, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

const BODY = 'ä\\n"x" '.repeat(100);

async function run(where = broker) {
  const result = await cleanUp(where.database.maintenance);
  if (!result) throw new Error("somebody else cleans up");
  return result.compactedBatches;
}

/** Bytes of all payloads, as stored. */
async function bytes(): Promise<number> {
  const [row] = await broker.sql<{ bytes: number }[]>`
    SELECT coalesce(sum(pg_column_size(payload)), 0)::int AS bytes FROM batches`;
  return row?.bytes ?? 0;
}

function contents(count: number): string[] {
  return numbered(count).map((name) => `${name} ${BODY}`);
}

test("a few messages that stay do not keep the payloads of the others", async () => {
  const { queue, deadLetters } = await newPair(broker);
  await bury(client, { queue, deadLetters }, contents(63));
  const messages = await client.drain(deadLetters);
  await client.acknowledge(deadLetters, [...messages.slice(0, 30), ...messages.slice(32)]);
  const before = await bytes();
  expect(await run()).toBe(0);
  await broker.clock.advance(901);
  expect(await run()).toBe(1);
  expect(await bytes()).toBeLessThan(before / 20);
  // Also by a process that has never had the payload.
  const fresh = await broker.startEngine();
  const found = await broker.client(broker.engines.indexOf(fresh)).drain(deadLetters);
  expect(found.map(({ messageId }) => messageId)).toEqual(
    messages.slice(30, 32).map(({ messageId }) => messageId),
  );
  expect(bodiesOf(found)).toEqual(bodiesOf(messages.slice(30, 32)));
  // What is left of it is worth no second time.
  expect(await run()).toBe(0);
  expect(await client.acknowledge(deadLetters, found)).toEqual(["ok", "ok"]);
});

test("the messages of all its queues stay, and those of a batch that waits for its fan-out", async () => {
  await using other = await Broker.start({ engines: 2, dispatchers: 0 });
  const one = other.client();
  const queues = [await other.newQueue(), await other.newQueue()];
  const topic = await other.newTopic(queues);
  await one.publish(topic, contents(63));
  await other.clock.advance(1_000);
  expect(await run(other)).toBe(0);
  await other.startDispatcher();
  for (const [index, queue] of queues.entries()) {
    const messages = await one.receive(queue, { wait: 20, maxMessages: 1_000 });
    const kept = index * 10;
    await one.acknowledge(queue, [...messages.slice(0, kept), ...messages.slice(kept + 5)]);
  }
  await other.clock.advance(1_000);
  // By this one, or by the dispatcher, whose turn it may be.
  await until(async () => {
    await cleanUp(other.database.maintenance);
    const [batch] = await other.sql<
      { kept: number }[]
    >`SELECT bit_count(kept::bit(64))::int AS kept FROM batches`;
    return batch?.kept === 10;
  });
  for (const [index, queue] of queues.entries()) {
    expect(bodiesOf(await other.client(1).drain(queue))).toEqual(
      contents(63).slice(index * 10, index * 10 + 5),
    );
  }
});

test.each(["a FIFO queue", "an archive"])(
  "what %s has of a batch stays as well",
  async (keeper) => {
    const isArchived = keeper === "an archive";
    await using other = await Broker.start({ engines: 2 });
    const [queue, fifo] = [await other.newQueue(), await other.newQueue({ fifo: true })];
    const topic = await newFifoTopic(other, isArchived ? [queue] : [queue, fifo], {
      archive: isArchived ? { days: 1 } : null,
    });
    const one = other.client();
    await one.publish(
      topic,
      contents(63).map((body, at) => ({ body, groupId: "a", deduplicationId: `${at}` })),
    );
    await other.untilFannedOut();
    const messages = await one.receive(queue, { maxMessages: 1_000 });
    await one.acknowledge(queue, messages.slice(5));
    await other.clock.advance(1_000);
    await until(async () => (await cleanUp(other.database.maintenance)) !== undefined);
    if (isArchived)
      await other.engine.subscribe(ACCOUNT, topic, fifo, { replayFrom: { at: new Date(0) } });
    await until(async () => (await other.counts(fifo)).visible === 63);
    expect(await finishInOrder(other.client(1), fifo, 100)).toEqual(contents(63));
  },
);

test("a batch that is small, or mostly alive, is left as it is", async () => {
  const queue = await broker.newQueue();
  const acknowledge = async (count: number) => {
    const messages = await client.receive(queue, { maxMessages: 63 });
    await client.acknowledge(queue, messages.slice(0, count));
  };
  await client.send(queue, numbered(20));
  await acknowledge(19);
  await client.send(queue, contents(63));
  await acknowledge(30);
  await broker.clock.advance(901);
  expect(await run()).toBe(0);
});

test("a message cannot be cancelled, and nothing is handed out, where a line is gone", async () => {
  const queue = await broker.newQueue();
  const ids = await client.send(queue, contents(63));
  const messages = await client.receive(queue, { maxMessages: 63, visibilityTimeout: 10_000 });
  await client.acknowledge(queue, messages.slice(1));
  await broker.clock.advance(901);
  expect(await run()).toBe(1);
  await broker.startEngine();
  const other = broker.client(broker.engines.length - 1);
  await expect(other.engine.cancelDelayed("000000000000", queue, ids[5]!)).rejects.toMatchObject({
    code: "message_not_found",
  });
  // As a claim would see it that was asleep while all this happened.
  await broker.sql`UPDATE slices SET pending = 7, visible_at = clock_timestamp() - interval '1 second'
                   WHERE queue_id = ${await broker.idOf(queue)}::bigint`;
  expect(bodiesOf(await other.receive(queue, { maxMessages: 10 }))).toEqual(contents(1));
});

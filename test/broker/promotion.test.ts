import { expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { newFifoTopic, one } from "./fifo.ts";

/**
 * As when a standby is promoted to which no message has come yet: the same ids are given again, and every connection is
 * lost.
 */
async function promoteEmptyStandby(broker: Broker): Promise<void> {
  try {
    await emptyAndCutOff(broker);
  } catch (error) {
    // What is under way locks tables in another order: then Postgres ends one of the two, and that may be this.
    if ((error as { code?: unknown }).code !== "40P01") throw error;
    await promoteEmptyStandby(broker);
  }
}

async function emptyAndCutOff({ sql }: Broker): Promise<void> {
  await sql.unsafe(`
    TRUNCATE slices, fifo_slices, fifo_groups, outbox, batches, archived_batches, replays, idempotency_keys, deduplication_ids, topic_deduplication_ids;
    SELECT setval('batch_ids', 1, false), setval('topic_sequences', 1, false), setval('fifo_sequences', 1, false);
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()`);
}

/** Again as long as what it needs is being connected. */
async function untilDone<Result>(act: () => Promise<Result>): Promise<Result> {
  let result: Result | undefined;
  await expect
    .poll(async () => (result = await act().catch(() => undefined)), { timeout: 15_000 })
    .toBeDefined();
  return result as Result;
}

test("after a promotion nobody is handed what was sent before it by the ids that are given again", async () => {
  await using broker = await Broker.start({ engines: 2, cutsConnections: true });
  const [before, after] = [await broker.newQueue(), await broker.newQueue()];
  const [client, other] = [broker.client(), broker.client(1)];
  await client.send(before, ["gone 1", "gone 2", "gone 3"]);
  await promoteEmptyStandby(broker);
  await untilDone(() => other.send(after, ["new 1", "new 2", "new 3"]));
  await untilDone(() => client.send(after, ["new 4"]));
  const messages = await untilDone(() => client.receive(after, { maxMessages: 10 }));
  expect(bodiesOf(messages).sort()).toEqual(["new 1", "new 2", "new 3", "new 4"]);
});

test("processes that had the same ids left store and hand out each message once", async () => {
  // A dispatcher's clean-up would lock what is emptied here, in another order.
  await using broker = await Broker.start({ engines: 2, dispatchers: 0, cutsConnections: true });
  const queue = await broker.newQueue();
  const [client, other] = [broker.client(), broker.client(1)];
  await client.send(queue, ["before"]);
  await broker.sql.unsafe("TRUNCATE slices, batches; SELECT setval('batch_ids', 1, false)");
  await other.send(queue, ["before"]);
  await broker.sql`TRUNCATE slices, batches`;
  for (const by of [client, other]) {
    for (let count = 0; count < 4; count += 1) await by.send(queue, [by === client ? "a" : "b"]);
  }
  const messages = await other.receive(queue, { maxMessages: 10 });
  expect(bodiesOf(messages).sort()).toEqual(["a", "a", "a", "a", "b", "b", "b", "b"]);
});

test("a replay is decided by what was published, not by what had its ids before", async () => {
  await using broker = await Broker.start({ cutsConnections: true });
  const client = broker.client();
  const topic = await broker.newTopic();
  await broker.engine.topics.update(ACCOUNT, topic, { archive: { days: 1 } });
  const replayed = async () => {
    const queue = await broker.newQueue();
    const filterPolicy = { color: ["red"] };
    const settings = { filterPolicy, replayFrom: { at: new Date(0) } };
    await untilDone(() => broker.engine.subscribe(ACCOUNT, topic, queue, settings));
    await expect
      .poll(() => broker.sql`SELECT FROM replays WHERE status = 'running'`)
      .toHaveLength(0);
    return bodiesOf(await untilDone(() => client.drain(queue)));
  };
  const colored = (value: string) => ({
    body: value,
    attributes: { color: { type: "String", value } },
  });
  await client.publish(topic, [colored("blue")]);
  await broker.untilFannedOut();
  expect(await replayed()).toEqual([]);
  await promoteEmptyStandby(broker);
  await untilDone(() => client.publish(topic, [colored("red")]));
  await expect.poll(() => broker.waitingBatches()).toHaveLength(0);
  expect(await replayed()).toEqual(["red"]);
});

test("a FIFO topic goes on, though its dispatcher was further before it", async () => {
  await using broker = await Broker.start({ cutsConnections: true });
  const queue = await broker.newQueue({ fifo: true });
  const topic = await newFifoTopic(broker, [queue]);
  const client = broker.client();
  for (let count = 0; count < 5; count += 1) await client.publish(topic, [one("a", `b${count}`)]);
  await broker.untilFannedOut();
  await promoteEmptyStandby(broker);
  await untilDone(() => client.publish(topic, [one("a", "new")]));
  await expect
    .poll(() => client.receive(queue).catch(() => []), { timeout: 15_000 })
    .toMatchObject([{ body: "new" }]);
});

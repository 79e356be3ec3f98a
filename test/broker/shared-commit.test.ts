import { afterAll, beforeEach, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { failOnce, holdDeletion, newPair } from "./dead-letters.ts";
import { holdWith, until, untilBlocked } from "./interleaving.ts";
import { connectTraced } from "./statements.ts";

const broker = await Broker.start({ engines: 0, dispatchers: 0, directQueues: 3 });
afterAll(() => broker[Symbol.asyncDispose]());
// What takes a second, as anything may here, would be left to statements of their own.
await broker.startEngine(await connectTraced(broker.databaseUrl, 4, { statement_timeout: "0" }));
const client = broker.client();

let queue: string;
let topic: string;
beforeEach(async () => {
  queue = await broker.newQueue();
  topic = await broker.newTopic([queue]);
  // Where a topic goes is known from what went there.
  await client.publish(topic, ["first"]);
  await client.finish(queue);
});

/** A receive of ten that waits at a process which knows that there is nothing. */
async function parked() {
  await client.receive(queue, { wait: 0 });
  const messages = client.receive(queue, { wait: 20, maxMessages: 10 });
  await until(() => Promise.resolve(broker.engine.receiver.isWaitedFor(ACCOUNT, queue)));
  // A promise that is returned would be awaited.
  return { messages };
}

/** The transactions that stored the messages of the queue, and those that claimed them. */
async function transactions() {
  const [row] = await broker.sql`
    SELECT array_agg(DISTINCT b.xmin::text) AS stored, array_agg(DISTINCT s.xmin::text) AS claimed
    FROM slices s JOIN batches b ON b.id = s.batch_id WHERE s.queue_id = ${await broker.idOf(queue)}`;
  return row as { stored: string[]; claimed: string[] };
}

describe("a receive that waits has messages by the commit that stores them", () => {
  test("of a publish", async () => {
    const { messages } = await parked();
    await client.publish(topic, ["m"]);
    expect(bodiesOf(await messages)).toEqual(["m"]);
    const { stored, claimed } = await transactions();
    expect(claimed).toEqual(stored);
  });

  test("of a send", async () => {
    const { messages } = await parked();
    await client.send(queue, ["m"]);
    expect(bodiesOf(await messages)).toEqual(["m"]);
    const { stored, claimed } = await transactions();
    expect(claimed).toEqual(stored);
  });

  test("together with what another receive acknowledges", async () => {
    await client.send(queue, ["before"]);
    const held = await client.receive(queue, { wait: 0 });
    const { messages } = await parked();
    const [, outcomes] = await Promise.all([
      client.publish(topic, ["m"]),
      client.acknowledge(queue, held),
    ]);
    expect(outcomes).toEqual(["ok"]);
    const received = await messages;
    expect(bodiesOf(received)).toEqual(["m"]);
    await client.acknowledge(queue, received);
    expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
  });
});

describe("a paused or delaying queue", () => {
  test.each([{ paused: true }, { delay: 900 }])(
    "%j keeps them from whoever waits",
    async (settings) => {
      const { messages } = await parked();
      await broker.engine.queues.update(ACCOUNT, queue, settings);
      await client.publish(topic, ["kept"]);
      await broker.engine.queues.update(ACCOUNT, queue, { paused: false, delay: 0 });
      await client.publish(topic, ["m"]);
      const bodies = bodiesOf(await messages);
      if (settings.delay) expect(bodies).toEqual(["m"]);
      else expect(bodies).toContain("kept");
    },
  );
});

describe("a receive that waits goes on waiting", () => {
  test("when a publish turns out to be a repeat", async () => {
    const ids = await client.publish(topic, ["once"], "key");
    await client.finish(queue);
    const { messages } = await parked();
    expect(await client.publish(topic, ["once"], "key")).toEqual(ids);
    expect(broker.engine.receiver.isWaitedFor(ACCOUNT, queue)).toBe(true);
    await client.publish(topic, ["m"]);
    expect(bodiesOf(await messages)).toEqual(["m"]);
  });

  test("when Postgres refuses a repeat, and what goes with it is acknowledged all the same", async () => {
    const other = await broker.newQueue();
    await client.send(other, ["first"]);
    const ids = await client.publish(topic, ["once"], "acknowledged");
    const held = await client.receive(queue, { wait: 0 });
    const { messages } = await parked();
    // What comes while one commit is under way shares the next.
    const before = client.send(other, ["before"]);
    const outcomes = await Promise.all([
      client.publish(topic, ["once"], "acknowledged"),
      client.acknowledge(queue, held),
    ]);
    await before;
    expect(outcomes).toEqual([ids, ["ok"]]);
    await client.publish(topic, ["m"]);
    expect(bodiesOf(await messages)).toEqual(["m"]);
  });
});

test("a publish that waits for a lock holds up neither receives nor acknowledgements", async () => {
  await client.send(queue, ["before"]);
  const held = await client.receive(queue, { wait: 0 });
  const { messages } = await parked();
  const table = await holdWith(broker.sql, "LOCK TABLE batches IN SHARE MODE");
  const publishing = client.publish(topic, ["late"]);
  await untilBlocked(broker.sql);
  expect(await client.acknowledge(queue, held)).toEqual(["ok"]);
  expect(await client.receive(queue, { wait: 0 })).toEqual([]);
  await table.letGo();
  await publishing;
  expect(bodiesOf(await messages)).toEqual(["late"]);
});

test("a dead-letter queue that is held for long holds up no receive, of another queue neither", async () => {
  const pair = await newPair(broker);
  await client.send(pair.queue, ["dead"]);
  await failOnce(client, pair.queue);
  await client.send(queue, ["m"]);
  const deletion = await holdDeletion(broker, pair.deadLetters);
  // Both by one statement.
  const [nothing, messages] = await Promise.all([
    client.receive(pair.queue, { wait: 0 }),
    client.receive(queue, { wait: 0 }),
  ]);
  expect(nothing).toEqual([]);
  expect(bodiesOf(messages)).toEqual(["m"]);
  await deletion.letGo();
  expect(await client.receive(pair.queue, { wait: 0 })).toEqual([]);
  expect(bodiesOf(await client.receive(pair.deadLetters, { wait: 0 }))).toEqual(["dead"]);
});

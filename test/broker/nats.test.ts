import { randomUUID } from "node:crypto";

import { connectNatsBus, type Bus } from "@sluice/bus";
import { afterAll, expect, inject, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { confusion } from "./confused-bus.ts";
import { byGroup, finishAll, newFifoTopic, one } from "./fifo.ts";
import { until } from "./interleaving.ts";

/** Members that meet on NATS, as processes do. */
function natsMeetingPlace(): () => Promise<Bus> {
  const prefix = `test-${randomUUID()}`;
  const servers = [inject("natsUrl")];
  return () => connectNatsBus({ servers, name: "test", prefix });
}

const broker = await Broker.start({
  engines: 2,
  dispatchers: 2,
  connectBus: natsMeetingPlace(),
});
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

test("a publish in one process wakes who waits in another, through a dispatcher", async () => {
  const queues = [await broker.newQueue(), await broker.newQueue()];
  const topic = await broker.newTopic(queues);
  const waiting = queues.map((queue) => otherProcess.receive(queue, { wait: 20, maxMessages: 10 }));
  await client.publish(topic, ["m"]);
  expect((await Promise.all(waiting)).map(bodiesOf)).toEqual([["m"], ["m"]]);
});

test("a send in one process wakes who waits in another", async () => {
  const queue = await broker.newQueue();
  const waiting = otherProcess.receive(queue, { wait: 20 });
  await client.send(queue, ["m"]);
  expect(bodiesOf(await waiting)).toEqual(["m"]);
});

test("two dispatchers share what is announced, each batch to one of them", async () => {
  const queues = [await broker.newQueue(), await broker.newQueue(), await broker.newQueue()];
  const topic = await broker.newTopic(queues);
  const before = { ...broker.counted };
  const calls = Array.from({ length: 50 }, async (_, call) => {
    const by = call % 2 ? client : otherProcess;
    await by.publish(topic, numbered(100, `${call}/`));
  });
  await Promise.all(calls);
  await broker.untilFannedOut();
  for (const queue of queues) {
    const bodies = bodiesOf(await client.drain(queue));
    expect(bodies).toHaveLength(5_000);
    expect(new Set(bodies).size).toBe(5_000);
  }
  const deliveries = () => broker.counted.deliveries - before.deliveries;
  // A dispatcher counts when it has heard of its commit.
  await until(() => Promise.resolve(deliveries() >= 15_000));
  expect(deliveries()).toBe(15_000);
});

test("announcements that come twice change nothing", async () => {
  const queue = await broker.newQueue();
  const topic = await broker.newTopic([queue]);
  await client.publish(topic, numbered(50));
  const ids = (await broker.sql<{ id: string }[]>`SELECT id FROM batches`).map((row) => row.id);
  for (let repeat = 0; repeat < 20; repeat += 1) otherProcess.engine.bus.announceBatches(ids);
  const marker = await broker.newQueue();
  const markerTopic = await broker.newTopic([marker]);
  const waiting = client.receive(marker, { wait: 20 });
  await client.publish(markerTopic, ["after the repeats"]);
  await waiting;
  // Another dispatcher may have the first ones.
  await broker.untilFannedOut();
  expect(bodiesOf(await client.drain(queue))).toEqual(numbered(50));
});

test("of a FIFO topic, confused announcements change neither order nor number", async () => {
  await using confused = await Broker.start({
    engines: 2,
    dispatchers: 2,
    connectBus: confusion(natsMeetingPlace()),
  });
  const [queue, filtered] = [
    await confused.newQueue({ fifo: true }),
    await confused.newQueue({ fifo: true }),
  ];
  const topic = await newFifoTopic(confused, [queue]);
  const settings = { filterPolicy: { n: [1] }, filterPolicyScope: "MessageBody" } as const;
  await confused.engine.subscribe(ACCOUNT, topic, filtered, settings);
  const bodies = (group: string) =>
    Array.from({ length: 60 }, (_, at) => JSON.stringify({ at, group, n: at % 2 }));
  const groups = ["a", "b"];
  const publishing = groups.map(async (group, by) => {
    for (const body of bodies(group)) await confused.client(by).publish(topic, [one(group, body)]);
  });
  await Promise.all(publishing);
  await confused.clock.advance(1);
  await confused.untilFannedOut();
  const odd = (_: string, at: number) => at % 2 === 1;
  expect(byGroup(await finishAll(confused.client(), queue, 120))).toEqual(
    Object.fromEntries(groups.map((group) => [group, bodies(group)])),
  );
  expect(byGroup(await finishAll(confused.client(1), filtered, 60))).toEqual(
    Object.fromEntries(groups.map((group) => [group, bodies(group).filter(odd)])),
  );
});

test("whoever waits for a queue that another process deletes is told so", async () => {
  const queue = await broker.newQueue();
  const waiting = otherProcess.receive(queue, { wait: 20 });
  const told = expect(waiting).rejects.toMatchObject({ code: "queue_not_found" });
  await otherProcess.receive(queue);
  await client.engine.queues.delete(ACCOUNT, queue);
  client.engine.changed({ kind: "queue", account: ACCOUNT, name: queue });
  await told;
});

test("without NATS a publish is accepted, and delivered by the sweeper", async () => {
  await using cut = await Broker.start({ dispatchers: 1, connectBus: natsMeetingPlace() });
  const queue = await cut.newQueue();
  const topic = await cut.newTopic([queue]);
  await cut.engine.bus.close();
  await cut.client().publish(topic, numbered(10));
  await cut.clock.advance(1);
  const messages = await cut.client().receive(queue, { wait: 20, maxMessages: 10 });
  expect(bodiesOf(messages)).toEqual(numbered(10));
});

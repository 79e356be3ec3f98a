import { beforeEach, expect, test } from "vitest";

import { ACCOUNT, Broker, loneliness } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { grouped } from "./fifo.ts";
import { holdDeliveries, holdWith, until, untilBlocked } from "./interleaving.ts";

let broker: Broker;
beforeEach(async () => {
  // No announcement comes to the dispatcher: what arrives, a sweep has found.
  broker = await Broker.start({ dispatchers: 0, connectBus: loneliness() });
  return () => broker[Symbol.asyncDispose]();
});

const arrives = async (queue: string) => {
  await until(async () => (await broker.counts(queue)).visible > 0);
};

test("what has an order is looked for while the sweep of all other topics is at work", async () => {
  const [queue, fifoQueue] = [await broker.newQueue(), await broker.newQueue({ fifo: true })];
  const topic = await broker.newTopic([queue]);
  await broker.engine.topics.create(ACCOUNT, { name: "ordered.fifo", fifo: true });
  await broker.engine.subscribe(ACCOUNT, "ordered.fifo", fifoQueue);
  const held = await holdDeliveries(broker.sql);
  await broker.client().publish(topic, ["m"]);
  await broker.startDispatcher();
  await untilBlocked(broker.sql);
  await broker.client().publish("ordered.fifo", grouped("a", 1));
  await arrives(fifoQueue);
  await held.letGo();
  await arrives(queue);
});

test(
  "what has waited for long is looked for also while there is something of the last seconds",
  { timeout: 7_000 },
  async () => {
    const queue = await broker.newQueue();
    const topic = await broker.newTopic([queue]);
    const client = broker.client();
    await client.publish(topic, ["old"]);
    await broker.clock.advance(60);
    await client.publish(topic, ["new"]);
    await broker.clock.advance(1);
    // Somebody has the new one in hand, and does not come to an end with it.
    const held = await holdWith(
      broker.sql,
      "SELECT FROM outbox ORDER BY sent_at DESC LIMIT 1 FOR UPDATE",
    );
    await broker.startDispatcher();
    await arrives(queue);
    expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toEqual(["old"]);
    await held.letGo();
    await arrives(queue);
  },
);

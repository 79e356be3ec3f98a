import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker, loneliness } from "./broker.ts";
import { bodiesOf, numbered, type Client } from "./client.ts";
import { holdDeletions, holdWith, until, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ engines: 2 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

/** Receives nothing again and again. */
async function untilRefused(from: Client, queue: string): Promise<void> {
  for (;;) expect(await from.receive(queue)).toEqual([]);
}

async function deleteQueue(name: string) {
  await broker.engine.queues.delete(ACCOUNT, name);
  broker.engine.changed({ kind: "queue", account: ACCOUNT, name });
}

test("the messages of a deleted queue are out of reach, also when a new one has its name", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, numbered(3));
  const held = await client.receive(queue);
  await deleteQueue(queue);
  await expect(client.receive(queue)).rejects.toMatchObject({ code: "queue_not_found" });
  await expect(client.acknowledge(queue, held)).rejects.toMatchObject({ code: "queue_not_found" });
  await broker.engine.queues.create(ACCOUNT, queue, {});
  expect(await client.drain(queue)).toEqual([]);
  await expect(client.acknowledge(queue, held)).rejects.toMatchObject({
    code: "receipt_handle_invalid",
  });
});

test("the subscriptions of a deleted queue end", async () => {
  const [kept, deleted] = [await broker.newQueue(), await broker.newQueue()];
  const topic = await broker.newTopic([kept, deleted]);
  await deleteQueue(deleted);
  await broker.engine.queues.create(ACCOUNT, deleted, {});
  await client.publish(topic, ["m"]);
  await broker.untilFannedOut();
  expect(bodiesOf(await client.drain(kept))).toEqual(["m"]);
  expect(await client.drain(deleted)).toEqual([]);
});

test("what was fanned out before its topic was deleted stays in the queue", async () => {
  const queue = await broker.newQueue();
  const topic = await broker.newTopic([queue]);
  await client.publish(topic, ["m"]);
  await broker.untilFannedOut();
  await broker.engine.topics.delete(ACCOUNT, topic);
  broker.engine.changed({ kind: "topic", account: ACCOUNT, name: topic });
  await expect(client.publish(topic, ["n"])).rejects.toMatchObject({ code: "topic_not_found" });
  expect(bodiesOf(await client.drain(queue))).toEqual(["m"]);
});

test("queues that are each other's dead-letter queue can be deleted at once", async () => {
  const first = await broker.newQueue();
  const second = await broker.newQueue({
    redrive: { deadLetterQueue: first, maxReceiveCount: 3 },
  });
  const redrive = { deadLetterQueue: second, maxReceiveCount: 3 };
  await broker.engine.queues.update(ACCOUNT, first, { redrive });
  // Stops a deletion when it has its own row, and not yet those of its sources.
  const held = await holdDeletions(broker.sql);
  const deleting = [first, second].map((name) => broker.engine.queues.delete(ACCOUNT, name));
  await untilBlocked(broker.sql, 2);
  await held.letGo();
  await Promise.all(deleting);
  expect((await broker.engine.queues.findAll(ACCOUNT, [first, second])).size).toBe(0);
});

test("a subscription to a topic that is deleted at that moment is refused", async () => {
  const queue = await broker.newQueue();
  const topic = await broker.newTopic();
  const deletion = await holdWith(
    broker.sql,
    `DELETE FROM topics WHERE name = '${topic}'`,
    "COMMIT",
  );
  const subscribing = broker.engine.subscribe(ACCOUNT, topic, queue);
  const refused = expect(subscribing).rejects.toMatchObject({ code: "topic_not_found" });
  await untilBlocked(broker.sql);
  await deletion.letGo();
  await refused;
});

test("a subscription of a queue that is deleted at that moment is refused", async () => {
  const queue = await broker.newQueue();
  const topic = await broker.newTopic();
  const deletion = await holdWith(
    broker.sql,
    `DELETE FROM queues WHERE name = '${queue}'`,
    "COMMIT",
  );
  const subscribing = broker.engine.subscribe(ACCOUNT, topic, queue);
  const refused = expect(subscribing).rejects.toMatchObject({ code: "queue_not_found" });
  await untilBlocked(broker.sql);
  await deletion.letGo();
  await refused;
});

describe("a process that has not heard of it yet", () => {
  /** Two processes that never hear of each other; both remember the queue and the topic. */
  async function deaf() {
    const processes = await Broker.start({ engines: 2, connectBus: loneliness() });
    const queue = await processes.newQueue();
    const topic = await processes.newTopic();
    const [one, other] = [processes.client(0), processes.client(1)];
    await one.send(queue, ["before"]);
    await one.publish(topic, ["before"]);
    await one.finish(queue);
    return { processes, queue, topic, one, other };
  }

  test("does not store into a deleted queue or topic", async () => {
    const { processes, queue, topic, one, other } = await deaf();
    await using _ = processes;
    await other.engine.queues.delete(ACCOUNT, queue);
    await other.engine.topics.delete(ACCOUNT, topic);
    await expect(one.send(queue, ["m"])).rejects.toMatchObject({ code: "queue_not_found" });
    await expect(one.publish(topic, ["m"])).rejects.toMatchObject({ code: "topic_not_found" });
  });

  test("stores into the new queue or topic of the same name", async () => {
    const { processes, queue, topic, one, other } = await deaf();
    await using _ = processes;
    await other.engine.queues.delete(ACCOUNT, queue);
    await other.engine.queues.create(ACCOUNT, queue, {});
    await other.engine.topics.delete(ACCOUNT, topic);
    await other.engine.topics.create(ACCOUNT, { name: topic });
    await other.engine.subscribe(ACCOUNT, topic, queue);
    await one.send(queue, ["sent"]);
    await one.publish(topic, ["published"]);
    await processes.clock.advance(1);
    await processes.untilFannedOut();
    expect(bodiesOf(await other.drain(queue))).toEqual(["sent", "published"]);
  });

  test("hands out nothing of a deleted queue, and finds out that it is one", async () => {
    const { processes, queue, one, other } = await deaf();
    await using _ = processes;
    await other.send(queue, ["m"]);
    await other.engine.queues.delete(ACCOUNT, queue);
    const refused = expect(untilRefused(one, queue)).rejects;
    await refused.toMatchObject({ code: "queue_not_found" });
  });

  test("stops waiting for messages of a deleted queue", async () => {
    const { processes, queue, one, other } = await deaf();
    await using _ = processes;
    const waiting = one.receive(queue, { wait: 20 });
    const refused = expect(waiting).rejects.toMatchObject({ code: "queue_not_found" });
    await other.engine.queues.delete(ACCOUNT, queue);
    await refused;
  });

  test.each([false, true])(
    "receives from the new queue of the same name (FIFO: %s)",
    async (fifo) => {
      await using processes = await Broker.start({ engines: 2, connectBus: loneliness() });
      const [one, other] = [processes.client(0), processes.client(1)];
      const queue = await processes.newQueue({ fifo });
      const message = fifo ? { body: "m", groupId: "a", deduplicationId: "m" } : "m";
      expect(await one.receive(queue)).toEqual([]);
      await other.engine.queues.delete(ACCOUNT, queue);
      await other.engine.queues.create(ACCOUNT, queue, { fifo });
      await other.send(queue, [message]);
      let received: string[] = [];
      await until(async () => {
        received = bodiesOf(await one.receive(queue));
        return received.length > 0;
      });
      expect(received).toEqual(["m"]);
    },
  );

  test("waits for messages of the new queue of the same name", async () => {
    const { processes, queue, one, other } = await deaf();
    await using _ = processes;
    await other.engine.queues.delete(ACCOUNT, queue);
    await other.engine.queues.create(ACCOUNT, queue, {});
    await other.send(queue, ["m"]);
    expect(bodiesOf(await one.receive(queue, { wait: 20 }))).toEqual(["m"]);
  });

  test("acknowledges for the new queue of the same name", async () => {
    const { processes, queue, one, other } = await deaf();
    await using _ = processes;
    await other.engine.queues.delete(ACCOUNT, queue);
    await other.engine.queues.create(ACCOUNT, queue, {});
    other.engine.queueDirectory.forgetAll();
    await other.send(queue, ["a", "b"]);
    const messages = await other.receive(queue, { maxMessages: 2 });
    expect(await one.hide(queue, messages.slice(0, 1), 600)).toEqual(["ok"]);
    expect(await one.acknowledge(queue, messages)).toEqual(["ok", "ok"]);
  });
});

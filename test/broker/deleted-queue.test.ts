import type { SubscriptionSettings } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { holdWith, until, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start();
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const { subscriptions, queues } = broker.engine;

/** A subscribed queue whose subscription has a dead-letter queue. */
async function withDeadLetters(settings: Partial<SubscriptionSettings> = {}) {
  const [queue, deadLetters] = [await broker.newQueue({ delay: 600 }), await broker.newQueue()];
  const topic = await broker.newTopic();
  const redrivePolicy = { deadLetterQueue: deadLetters };
  const all = { ...settings, redrivePolicy };
  const { subscription } = await broker.engine.subscribe(ACCOUNT, topic, queue, all);
  return { topic, queue, deadLetters, id: subscription.id };
}

test("a subscription with a dead-letter queue outlives its queue, and delivers there, with the reason", async () => {
  const filterPolicy = { color: ["red"] };
  const { topic, queue, deadLetters, id } = await withDeadLetters({ filterPolicy });
  await queues.delete(ACCOUNT, queue);
  expect(await subscriptions.find(ACCOUNT, id)).toMatchObject({ queue, queueDeleted: true });
  const attributes = { color: { type: "String", value: "red" } };
  await client.publish(topic, [{ body: "m", attributes }, "refused"]);
  await broker.untilFannedOut();
  const { messages } = await broker.engine.peek(ACCOUNT, deadLetters, {});
  expect(messages).toMatchObject([
    { body: "m", failureReason: `the queue "${queue}" was deleted`, state: "visible" },
  ]);
});

describe("what it delivers there tells receives the reason as well, and no source", () => {
  const attributes = { color: { type: "String", value: "red" } };

  /** A queue with dead letters of a topic: one by its fan-out, one by a replay. */
  async function letters(fifo: { topic: boolean; queue: boolean }) {
    const queue = await broker.newQueue({ fifo: fifo.queue });
    const deadLetters = await broker.newQueue({ fifo: fifo.queue });
    const topic = `topic-${queue}`.replace(/\.fifo$/, "") + (fifo.topic ? ".fifo" : "");
    await broker.engine.topics.create(ACCOUNT, {
      name: topic,
      fifo: fifo.topic,
      archive: { days: 1 },
    });
    const redrivePolicy = { deadLetterQueue: deadLetters };
    const { subscription } = await broker.engine.subscribe(ACCOUNT, topic, queue, {
      redrivePolicy,
    });
    await queues.delete(ACCOUNT, queue);
    const content = {
      body: "m",
      attributes,
      ...(fifo.topic && { groupId: "g", deduplicationId: "d" }),
    };
    await client.publish(topic, [content]);
    await broker.untilFannedOut();
    await broker.engine.replay(ACCOUNT, subscription.id, { from: { at: new Date(0) } });
    await until(async () => (await broker.counts(deadLetters)).visible === 2);
    return { queue, deadLetters };
  }

  async function lettersOf(queue: string) {
    const { slices } = await broker.engine.receiver.receive(ACCOUNT, queue, { maxMessages: 10 });
    return slices.map(({ deadLetter }) => deadLetter);
  }

  test.each([
    { topic: false, queue: false },
    { topic: true, queue: false },
    { topic: true, queue: true },
  ])("from a topic to a queue (FIFO: %o)", async (fifo) => {
    const { queue, deadLetters } = await letters(fifo);
    const reason = `the queue "${queue}" was deleted`;
    const found = await lettersOf(deadLetters);
    expect(found.map((letter) => letter?.reason)).toEqual([reason, reason]);
    for (const letter of found)
      expect(await queues.nameOf(ACCOUNT, letter?.sourceQueueId ?? "")).toBeUndefined();
    const { messages } = await broker.engine.peek(ACCOUNT, deadLetters, {});
    expect(messages.map(({ failureReason }) => failureReason)).toEqual([reason, reason]);
  });

  test("also with the reason of a consumer that gave it back; what is no dead letter tells none", async () => {
    const { deadLetters } = await letters({ topic: false, queue: false });
    const other = await broker.newQueue();
    await client.send(other, ["m"]);
    for (const queue of [deadLetters, other]) {
      const messages = await client.receive(queue, { maxMessages: 10 });
      const entries = messages.map(({ handle: receiptHandle }) => ({
        receiptHandle,
        visibilityTimeout: 0,
        reason: "no time",
      }));
      await broker.engine.visibility.change(ACCOUNT, queue, entries);
    }
    const found = await lettersOf(deadLetters);
    expect(found.map((letter) => letter?.reason)).toEqual(["no time", "no time"]);
    expect(await lettersOf(other)).toEqual([undefined]);
  });
});

test("a subscription without one ends with its queue", async () => {
  const { queue, id } = await withDeadLetters();
  await subscriptions.update(ACCOUNT, id, { redrivePolicy: null });
  await queues.delete(ACCOUNT, queue);
  expect(await subscriptions.find(ACCOUNT, id)).toBeUndefined();
});

test("a subscription that is given one while its queue is being deleted has it in time, or ends", async () => {
  const { queue, deadLetters, id } = await withDeadLetters();
  await subscriptions.update(ACCOUNT, id, { redrivePolicy: null });
  const held = await holdWith(
    broker.sql,
    `UPDATE subscriptions SET dead_letter_queue_id = ${await broker.idOf(deadLetters)} WHERE id = '${id}'`,
    "COMMIT",
  );
  const deleting = queues.delete(ACCOUNT, queue);
  await untilBlocked(broker.sql);
  await held.letGo();
  await deleting;
  expect(await subscriptions.find(ACCOUNT, id)).toMatchObject({ queueDeleted: true });
});

test("a new queue of the name takes the subscription over", async () => {
  const { topic, queue, deadLetters, id } = await withDeadLetters();
  await queues.delete(ACCOUNT, queue);
  await queues.create(ACCOUNT, queue, {});
  expect(await subscriptions.find(ACCOUNT, id)).toMatchObject({ queue, queueDeleted: false });
  await client.publish(topic, ["m"]);
  await broker.untilFannedOut();
  expect(bodiesOf(await client.drain(queue))).toEqual(["m"]);
  expect(bodiesOf(await client.drain(deadLetters))).toEqual([]);
});

test("a queue of the name in another account takes nothing over", async () => {
  const { topic, queue, deadLetters, id } = await withDeadLetters();
  await queues.delete(ACCOUNT, queue);
  await queues.create("000000000042", queue, {});
  expect(await subscriptions.find(ACCOUNT, id)).toMatchObject({ queue, queueDeleted: true });
  await client.publish(topic, ["m"]);
  await broker.untilFannedOut();
  expect(bodiesOf(await client.drain(deadLetters))).toEqual(["m"]);
});

test("when the dead-letter queue goes as well, nothing is left of the subscription", async () => {
  const { topic, queue, deadLetters, id } = await withDeadLetters();
  await queues.delete(ACCOUNT, queue);
  await queues.delete(ACCOUNT, deadLetters);
  expect(await subscriptions.find(ACCOUNT, id)).toBeUndefined();
  await client.publish(topic, ["m"]);
  await broker.untilFannedOut();
});

test("when both are deleted at once, nothing is left of the subscription, whichever goes first", async () => {
  for (const first of ["queue", "deadLetters"] as const) {
    const made = await withDeadLetters();
    const second = first === "queue" ? "deadLetters" : "queue";
    // Stops a deletion before its end, when it has done everything else.
    const held = await holdWith(broker.sql, "LOCK TABLE deleted_queues IN SHARE MODE");
    const deleting = [queues.delete(ACCOUNT, made[first])];
    await untilBlocked(broker.sql);
    deleting.push(queues.delete(ACCOUNT, made[second]));
    await untilBlocked(broker.sql, 2);
    await held.letGo();
    await Promise.all(deleting);
    expect(await subscriptions.find(ACCOUNT, made.id)).toBeUndefined();
    // A new queue of the name is subscribed to nothing.
    await queues.create(ACCOUNT, made.queue, {});
    await client.publish(made.topic, ["m"]);
    await broker.untilFannedOut();
    expect(bodiesOf(await client.drain(made.queue))).toEqual([]);
  }
});

test("a subscription whose dead-letter queue is deleted first has none", async () => {
  const { queue, deadLetters, id } = await withDeadLetters();
  await queues.delete(ACCOUNT, deadLetters);
  expect(await subscriptions.find(ACCOUNT, id)).toMatchObject({ queue, redrivePolicy: null });
});

test("the dead-letter queue has to be there, of the same kind, and another one than the subscribed queue", async () => {
  const { queue, id } = await withDeadLetters();
  await queues.create("000000000042", "of-another-account", {});
  const fifo = await broker.newQueue({ fifo: true });
  for (const deadLetterQueue of ["nowhere", "of-another-account", fifo, queue]) {
    await expect(
      subscriptions.update(ACCOUNT, id, { redrivePolicy: { deadLetterQueue } }),
    ).rejects.toMatchObject({
      code: "invalid_request",
      details: [{ path: "redrivePolicy.deadLetterQueue" }],
    });
  }
});

test("what has nothing but its dead-letter queue keeps it", async () => {
  const { queue, id } = await withDeadLetters();
  await queues.delete(ACCOUNT, queue);
  await expect(subscriptions.update(ACCOUNT, id, { redrivePolicy: null })).rejects.toMatchObject({
    code: "invalid_request",
    details: [{ path: "redrivePolicy" }],
  });
});

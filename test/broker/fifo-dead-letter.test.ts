import { createInProcessBus } from "@sluice/bus";
import { carryOnRedrives, type Queue, type QueueSettings } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { holdDeletion } from "./dead-letters.ts";
import { byGroup, finishInOrder, grouped } from "./fifo.ts";
import { holdWith } from "./interleaving.ts";

// Without a dispatcher of its own, so that a test says when a redrive goes on.
const broker = await Broker.start({ engines: 2, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);
const NEVER = new AbortController().signal;
const bus = createInProcessBus();

async function newPair(maxReceiveCount = 1, settings: Partial<QueueSettings> = {}) {
  const deadLetters = await broker.newQueue({ fifo: true, visibilityTimeout: 60 });
  const redrive = { deadLetterQueue: deadLetters, maxReceiveCount };
  const queue = await broker.newQueue({ fifo: true, visibilityTimeout: 60, redrive, ...settings });
  return { queue, deadLetters };
}

async function queueOf(name: string): Promise<Queue> {
  return (await broker.engine.queues.find(ACCOUNT, name))!;
}

async function redrive(name: string, destination?: string, rate?: number) {
  return await broker.engine.redrives.start(await queueOf(name), {
    destination: destination === undefined ? undefined : await queueOf(destination),
    rate,
  });
}

async function step() {
  return await carryOnRedrives({
    sql: broker.database.sql,
    bus,
    observer: broker.observer,
    signal: NEVER,
  });
}

/** Receives the first messages of each group and gives them back. */
async function failHeads(queue: string, maxMessages = 1_000) {
  const messages = await client.receive(queue, { maxMessages });
  await client.hide(queue, messages, 0);
  return bodiesOf(messages);
}

describe("a message that was received too often", () => {
  test("goes to the dead-letter queue with its group, and the group goes on with the next one", async () => {
    const { queue, deadLetters } = await newPair(2);
    await client.send(queue, grouped("a", 3));
    expect(await failHeads(queue, 1)).toEqual(["a0"]);
    expect(await failHeads(queue, 1)).toEqual(["a0"]);
    expect(bodiesOf(await client.receive(queue, { maxMessages: 2 }))).toEqual(["a1", "a2"]);
    const [letter, ...others] = await client.receive(deadLetters, { maxMessages: 10 });
    expect(letter).toMatchObject({ body: "a0", groupId: "a", receiveCount: 1 });
    expect(others).toEqual([]);
    expect(broker.counted.deadLettered).toBeGreaterThanOrEqual(1);
  });

  test("keeps its order among those of its group", async () => {
    const { queue, deadLetters } = await newPair();
    await client.send(queue, [...grouped("a", 70), ...grouped("b", 5)]);
    await failHeads(queue);
    expect(await client.receive(queue)).toEqual([]);
    const letters = await client.receive(deadLetters, { maxMessages: 1_000 });
    expect(byGroup(letters)).toEqual({
      a: grouped("a", 70).map((content) => (content as { body: string }).body),
      b: ["b0", "b1", "b2", "b3", "b4"],
    });
  });

  test("goes after those before it, where it failed more often than they did", async () => {
    const { queue, deadLetters } = await newPair(2);
    await client.send(queue, grouped("a", 4));
    await failHeads(queue);
    const held = await client.receive(queue, { maxMessages: 3 });
    await client.hide(queue, held, 0);
    // a0 to a2 were received twice, a3 once.
    expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toEqual(["a3"]);
    expect(await finishInOrder(client, deadLetters)).toEqual(["a0", "a1", "a2"]);
  });

  test("is kept there for as long as what is sent then", async () => {
    const { queue, deadLetters } = await newPair();
    const [day, retention] = [86_400, 4 * 86_400];
    for (const name of [queue, deadLetters])
      await broker.engine.queues.update(ACCOUNT, name, { retention });
    await client.send(queue, grouped("a", 1));
    await broker.clock.advance(3 * day);
    await failHeads(queue);
    expect(await client.receive(queue)).toEqual([]);
    await broker.clock.advance(3 * day);
    expect(await finishInOrder(client, deadLetters)).toEqual(["a0"]);
  });

  test("goes once, whoever receives at the same time", async () => {
    const { queue, deadLetters } = await newPair();
    await client.send(queue, [...grouped("a", 5), ...grouped("b", 5), ...grouped("c", 5)]);
    await failHeads(queue);
    await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        broker.client(index % 2).receive(queue, { maxMessages: 4 }),
      ),
    );
    expect((await finishInOrder(otherProcess, deadLetters)).sort()).toEqual(
      ["a", "b", "c"].flatMap((name) => [0, 1, 2, 3, 4].map((index) => `${name}${index}`)),
    );
  });

  test("stays, to be received again, when its dead-letter queue was deleted", async () => {
    const { queue, deadLetters } = await newPair();
    await client.send(queue, grouped("a", 2));
    await failHeads(queue);
    await broker.engine.queues.delete(ACCOUNT, deadLetters);
    expect(await finishInOrder(client, queue)).toEqual(["a0", "a1"]);
  });

  test("and cannot be moved keeps nobody from the other groups, and is told of", async () => {
    const { queue, deadLetters } = await newPair();
    await client.send(queue, grouped("a", 1));
    await failHeads(queue);
    await client.send(queue, grouped("b", 1));
    await broker.sql`ALTER TABLE queue_ledger ADD CONSTRAINT none CHECK (kind <> 'deadLettered') NOT VALID`;
    expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toEqual(["b0"]);
    expect(broker.failures.splice(0)).toMatchObject([{ what: "dead letters" }]);
    await broker.sql`ALTER TABLE queue_ledger DROP CONSTRAINT none`;
    expect(await client.receive(queue)).toEqual([]);
    expect(await finishInOrder(client, deadLetters)).toEqual(["a0"]);
  });
});

describe("while somebody who deletes its dead-letter queue stands still, a queue", () => {
  test("keeps its dead letters, and neither receives nor sends wait", async () => {
    const { queue, deadLetters } = await newPair();
    await client.send(queue, grouped("a", 2));
    await failHeads(queue);
    const deletion = await holdDeletion(broker, deadLetters);
    expect(await client.receive(queue)).toEqual([]);
    await client.send(queue, grouped("b", 1));
    expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toEqual(["b0"]);
    await deletion.letGo();
    expect(await client.receive(queue)).toEqual([]);
    expect(await finishInOrder(client, deadLetters)).toEqual(["a0", "a1"]);
  });

  test("hands them out again to a receive that waits when it ends", async () => {
    const { queue, deadLetters } = await newPair();
    await client.send(queue, grouped("a", 1));
    await failHeads(queue);
    const deletion = await holdDeletion(broker, deadLetters, "COMMIT");
    const waiting = client.receive(queue, { wait: 20 });
    expect(await client.receive(queue)).toEqual([]);
    await deletion.letGo();
    expect(await waiting).toMatchObject([{ body: "a0", receiveCount: 2 }]);
  });
});

describe("a dead-letter queue is of the same kind as its source:", () => {
  test("a standard queue takes no letters of a FIFO queue", async () => {
    const redrivePolicy = { deadLetterQueue: await broker.newQueue(), maxReceiveCount: 1 };
    await expect(broker.newQueue({ fifo: true, redrive: redrivePolicy })).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining("is a FIFO queue"),
    });
  });

  test("a FIFO queue takes no letters of a standard queue", async () => {
    const queue = await broker.newQueue();
    const policy = { deadLetterQueue: await broker.newQueue({ fifo: true }), maxReceiveCount: 1 };
    await expect(
      broker.engine.queues.update(ACCOUNT, queue, { redrive: policy }),
    ).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining("is a standard queue"),
    });
  });

  test("and a redrive goes to one as well", async () => {
    const { deadLetters } = await newPair();
    const standard = await broker.newQueue();
    await expect(redrive(deadLetters, standard)).rejects.toMatchObject({ code: "invalid_request" });
    await expect(redrive(standard, deadLetters)).rejects.toMatchObject({ code: "invalid_request" });
  });
});

describe("a redrive", () => {
  test("takes each group back in its order, behind what its queue has by then", async () => {
    const { queue, deadLetters } = await newPair();
    await client.send(queue, [...grouped("a", 3), ...grouped("b", 2)]);
    await failHeads(queue);
    await client.receive(queue);
    await client.send(queue, grouped("a", 2, 3));
    const task = await redrive(deadLetters);
    expect(task.total).toBe(5);
    await step();
    const found = await broker.engine.redrives.find(await queueOf(deadLetters), task.id);
    expect(found).toMatchObject({ status: "completed", moved: 5 });
    const messages = await client.receive(queue, { maxMessages: 10 });
    expect(byGroup(messages)).toEqual({ a: ["a3", "a4", "a0", "a1", "a2"], b: ["b0", "b1"] });
    expect(messages.map(({ receiveCount }) => receiveCount)).toEqual(messages.map(() => 1));
    expect(await client.acknowledge(queue, messages)).toEqual(messages.map(() => "ok"));
  });

  test("has failed when its destination is deleted before all has gone there", async () => {
    const { queue, deadLetters } = await newPair();
    await client.send(queue, grouped("a", 3));
    await failHeads(queue);
    await client.receive(queue);
    const destination = await broker.newQueue({ fifo: true });
    const task = await redrive(deadLetters, destination);
    await broker.engine.queues.delete(ACCOUNT, destination);
    await step();
    const found = await broker.engine.redrives.find(await queueOf(deadLetters), task.id);
    expect(found).toMatchObject({ status: "failed", destination, moved: 0, total: 3 });
    expect(await failHeads(deadLetters)).toEqual(["a0", "a1", "a2"]);
  });

  test("waits for nobody who holds its queue for long, and others go on meanwhile", async () => {
    const [one, other] = [await newPair(), await newPair()];
    for (const { queue } of [one, other]) {
      await client.send(queue, grouped("a", 2));
      await failHeads(queue);
      await client.receive(queue);
    }
    const [heldTask, task] = [await redrive(one.deadLetters), await redrive(other.deadLetters)];
    const lock = 2n ** 62n + BigInt(await broker.idOf(one.queue));
    const held = await holdWith(broker.sql, `SELECT pg_advisory_xact_lock(${lock})`);
    await step();
    const found = async (name: string, id: string) =>
      await broker.engine.redrives.find(await queueOf(name), id);
    expect(await found(one.deadLetters, heldTask.id)).toMatchObject({
      status: "running",
      moved: 0,
    });
    expect(await found(other.deadLetters, task.id)).toMatchObject({
      status: "completed",
      moved: 2,
    });
    await held.letGo();
    await step();
    expect(await finishInOrder(client, one.queue)).toEqual(["a0", "a1"]);
  });

  test("ends only when nothing is left to be moved, however many groups have something to be left", async () => {
    const deadLetters = await broker.newQueue({ fifo: true });
    const redrivePolicy = { deadLetterQueue: deadLetters, maxReceiveCount: 1 };
    const newSource = () => broker.newQueue({ fifo: true, redrive: redrivePolicy });
    const [gone, queue] = [await newSource(), await newSource()];
    const bury = async (name: string) => {
      for (let receives = 0; receives < 12; receives += 1)
        await client.receive(name, { maxMessages: 1_000, visibilityTimeout: 0 });
    };
    const inEachGroup = (name: string) =>
      Array.from({ length: 200 }, (_, group) => grouped(`${name}${group}`, 1)[0]!);
    await client.send(gone, inEachGroup("g"));
    await bury(gone);
    await broker.engine.queues.delete(ACCOUNT, gone);
    await client.send(queue, grouped("last", 1));
    await bury(queue);
    const task = await redrive(deadLetters);
    // In the groups whose first messages have nowhere to go, from after the start.
    await client.send(queue, inEachGroup("g"));
    await bury(queue);
    await step();
    const found = await broker.engine.redrives.find(await queueOf(deadLetters), task.id);
    expect(found).toMatchObject({ status: "completed", moved: 1 });
    expect(await finishInOrder(client, queue)).toEqual(["last0"]);
  });

  test("goes to the queue that is named", async () => {
    const { queue, deadLetters } = await newPair();
    const other = await broker.newQueue({ fifo: true });
    await client.send(queue, grouped("a", 3));
    await failHeads(queue);
    await client.receive(queue);
    await redrive(deadLetters, other);
    await step();
    const { messages } = await broker.engine.peek(ACCOUNT, other, {});
    expect(messages[0]).not.toHaveProperty("failureReason");
    expect(await finishInOrder(client, other)).toEqual(["a0", "a1", "a2"]);
  });

  test("leaves a group alone while one of its messages is in flight", async () => {
    const { queue, deadLetters } = await newPair();
    await client.send(queue, [...grouped("a", 3), ...grouped("b", 1)]);
    await failHeads(queue);
    await client.receive(queue);
    const [first, second] = await client.receive(deadLetters, { maxMessages: 2 });
    expect([first, second]).toMatchObject([{ body: "a0" }, { body: "a1" }]);
    await client.hide(deadLetters, [first!], 0);
    await redrive(deadLetters);
    await step();
    expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toEqual(["b0"]);
    await client.hide(deadLetters, [second!], 0);
    expect(await finishInOrder(client, deadLetters)).toEqual(["a0", "a1", "a2"]);
  });

  test("leaves what comes to a group after its start, so that it ends", async () => {
    const { queue, deadLetters } = await newPair();
    const fail = async (from: number) => {
      await client.send(queue, grouped("a", 1, from));
      await failHeads(queue);
      await client.receive(queue);
    };
    await fail(0);
    const task = await redrive(deadLetters);
    await fail(1);
    await step();
    const found = await broker.engine.redrives.find(await queueOf(deadLetters), task.id);
    expect(found).toMatchObject({ status: "completed", moved: 1 });
    expect(await finishInOrder(client, queue)).toEqual(["a0"]);
    expect(await finishInOrder(client, deadLetters)).toEqual(["a1"]);
  });

  test("moves as many as its rate has made room for", async () => {
    const { queue, deadLetters } = await newPair();
    for (const content of grouped("a", 30)) await client.send(queue, [content]);
    await failHeads(queue);
    await client.receive(queue);
    const task = await redrive(deadLetters, undefined, 2);
    await broker.clock.advance(5);
    await step();
    const { moved } = (await broker.engine.redrives.find(await queueOf(deadLetters), task.id))!;
    expect(moved).toBeGreaterThanOrEqual(10);
    expect(moved).toBeLessThan(30);
    await broker.clock.advance(60);
    await step();
    expect((await finishInOrder(client, queue)).length).toBe(30);
  });

  test("loses and doubles nothing while messages become dead letters, and keeps the order of groups", async () => {
    const { queue, deadLetters } = await newPair(1, { visibilityTimeout: 60 });
    const names = ["a", "b", "c", "d"];
    await client.send(
      queue,
      names.flatMap((name) => grouped(name, 20)),
    );
    await failHeads(queue);
    await Promise.all([
      ...Array.from({ length: 6 }, async (_, index) => {
        await broker.client(index % 2).receive(queue, { maxMessages: 5, visibilityTimeout: 0 });
      }),
      (async () => {
        for (let turn = 0; turn < 4; turn += 1) {
          await redrive(deadLetters).catch(() => undefined);
          await Promise.all([step(), step()]);
        }
      })(),
    ]);
    await broker.clock.advance(120);
    await broker.engine.queues.update(ACCOUNT, queue, { redrive: null });
    const rest = [
      ...(await finishInOrder(client, queue)),
      ...(await finishInOrder(client, deadLetters)),
    ];
    expect(rest.sort()).toEqual(
      names
        .flatMap((name) => grouped(name, 20).map((each) => (each as { body: string }).body))
        .sort(),
    );
  });
});

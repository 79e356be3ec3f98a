import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import {
  bury,
  change,
  exhaust,
  failOnce,
  holdDeletion,
  multiset,
  newPair,
  type DeadLetterPair,
} from "./dead-letters.ts";
import { newFifoTopic } from "./fifo.ts";
import { holdClaims, holdDeadLetters, until, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ engines: 2 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

describe("a message goes to the dead-letter queue", () => {
  test.each([1, 2, 5])("at the receive after its %i allowed ones, not before", async (max) => {
    const pair = await newPair(broker, max);
    await client.send(pair.queue, ["m"]);
    for (let count = 1; count <= max; count += 1) {
      expect(await client.receive(pair.queue)).toMatchObject([{ receiveCount: count }]);
      await broker.clock.advance(60);
    }
    expect(await broker.counts(pair.queue)).toMatchObject({ visible: 1 });
    expect(await broker.counts(pair.deadLetters)).toMatchObject({ visible: 0 });
    const counted = broker.counted.deadLettered;
    expect(await client.receive(pair.queue)).toEqual([]);
    expect(broker.counted.deadLettered - counted).toBe(1);
    expect(await broker.counts(pair.queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
    expect(await client.receive(pair.deadLetters)).toMatchObject([{ body: "m", receiveCount: 1 }]);
  });

  test("as it was sent: id, body, attributes and time", async () => {
    const pair = await newPair(broker);
    const attributes = { tenant: { type: "String", value: "acme" } };
    await client.send(pair.queue, [{ body: "✓ {}", attributes, groupId: "g" }]);
    const [before] = await client.receive(pair.queue);
    await broker.clock.advance(60);
    await client.receive(pair.queue);
    const [after] = await client.receive(pair.deadLetters);
    const { messageId, body, sentAt, groupId } = before!;
    expect(after).toMatchObject({ messageId, body, attributes, sentAt, groupId, receiveCount: 1 });
    expect(after!.firstReceivedAt).toBeGreaterThan(before!.firstReceivedAt);
  });

  test("with the reason", async () => {
    const pair = await newPair(broker, 3);
    await client.send(pair.queue, ["m"]);
    for (let count = 0; count < 4; count += 1) await failOnce(client, pair.queue);
    const { messages } = await broker.engine.peek(ACCOUNT, pair.deadLetters, {});
    expect(messages).toMatchObject([
      { body: "m", failureReason: "received 3 times without being acknowledged", receiveCount: 0 },
    ]);
  });

  test("alone: what was acknowledged or received less often stays behind", async () => {
    const pair = await newPair(broker, 2);
    await client.send(pair.queue, numbered(6));
    const messages = await client.receive(pair.queue, { maxMessages: 6 });
    await client.acknowledge(pair.queue, messages.slice(0, 2));
    await client.hide(pair.queue, messages.slice(2, 4), 0);
    await failOnce(client, pair.queue);
    await client.drain(pair.queue);
    await broker.clock.advance(60);
    expect(bodiesOf(await client.drain(pair.queue))).toEqual(["m4", "m5"]);
    expect(bodiesOf(await client.drain(pair.deadLetters))).toEqual(["m2", "m3"]);
  });

  test("once, while two processes claim all they can", async () => {
    const pair = await newPair(broker);
    for (let call = 0; call < 20; call += 1)
      await client.send(pair.queue, numbered(30, `${call}-`));
    await failOnce(client, pair.queue);
    const before = await multiset(broker, [pair.queue]);
    const claims = await holdClaims(broker.sql);
    const receives = [client, otherProcess].map((one) =>
      one.receive(pair.queue, { maxMessages: 1_000 }),
    );
    await untilBlocked(broker.sql, 2);
    await claims.letGo();
    expect((await Promise.all(receives)).flat()).toEqual([]);
    while ((await broker.counts(pair.queue)).visible > 0) await client.drain(pair.queue);
    expect(await multiset(broker, [pair.deadLetters])).toEqual(before);
    expect(before).toHaveLength(600);
  });

  test("from one dead-letter queue to the next, where that has one", async () => {
    const last = await newPair(broker);
    const first = await newPair(broker, 1, {
      redrive: { deadLetterQueue: last.queue, maxReceiveCount: 1 },
    });
    await bury(client, first, ["m"]);
    await failOnce(client, last.queue);
    await client.drain(last.queue);
    expect(await client.finish(last.deadLetters)).toEqual(["m"]);
  });

  test("also when the limit was lowered after it was received", async () => {
    const pair = await newPair(broker, 10);
    await client.send(pair.queue, ["m"]);
    for (let count = 0; count < 3; count += 1) await failOnce(client, pair.queue);
    const redrive = { deadLetterQueue: pair.deadLetters, maxReceiveCount: 3 };
    await change(client, pair.queue, { redrive });
    expect(await otherProcess.receive(pair.queue)).toEqual([]);
    expect(await client.finish(pair.deadLetters)).toEqual(["m"]);
  });
});

describe("what is to be had behind exhausted messages", () => {
  test("is handed out by the same receive", async () => {
    const pair = await newPair(broker);
    await client.send(pair.queue, ["old"]);
    await failOnce(client, pair.queue);
    await broker.clock.advance(1);
    await client.send(pair.queue, ["new"]);
    expect(bodiesOf(await client.receive(pair.queue))).toEqual(["new"]);
    await untilMoved(pair, 1);
    expect(await client.finish(pair.deadLetters)).toEqual(["old"]);
  });

  test("is found however many there are", async () => {
    const pair = await newPair(broker);
    for (let call = 0; call < 40; call += 1) await client.send(pair.queue, [`old${call}`]);
    await failOnce(client, pair.queue);
    await broker.clock.advance(1);
    await client.send(pair.queue, ["new"]);
    expect(bodiesOf(await client.receive(pair.queue, { wait: 20 }))).toEqual(["new"]);
    await untilMoved(pair, 40);
    expect(await client.finish(pair.deadLetters)).toHaveLength(40);
  });

  test("waits for a receive that comes next, or waits itself, where there are very many", async () => {
    const MANY = 20_000;
    for (const wait of [0, 20]) {
      const pair = await newPair(broker);
      await exhaust(broker, pair.queue, MANY);
      await client.send(pair.queue, ["new"]);
      const [first, moved] = await firstOf(pair, wait);
      if (wait === 0) {
        expect(first).toEqual([]);
        expect(moved).toBeGreaterThan(1_000);
        expect(moved).toBeLessThan(MANY);
        expect(bodiesOf(await client.receive(pair.queue))).toEqual(["new"]);
      } else expect(bodiesOf(first)).toEqual(["new"]);
      await untilMoved(pair, MANY);
    }
  });

  /** Those that were met together with a message may be on their way when that is handed out. */
  async function untilMoved({ deadLetters }: DeadLetterPair, count: number): Promise<void> {
    await until(async () => (await multiset(broker, [deadLetters])).length === count);
  }

  /** What one receive gets, and how many dead letters there are then. */
  async function firstOf({ queue, deadLetters }: DeadLetterPair, wait: number) {
    const messages = await client.receive(queue, { wait });
    return [messages, (await multiset(broker, [deadLetters])).length] as const;
  }
});

test("no more of them are moved for a client that has gone", async () => {
  await using own = await Broker.start();
  const pair = await newPair(own);
  await exhaust(own, pair.queue, 2_000);
  const claims = await holdClaims(own.sql);
  const gone = new AbortController();
  const receiving = own.client().receive(pair.queue, { wait: 20, signal: gone.signal });
  await untilBlocked(own.sql);
  gone.abort();
  expect(await receiving).toEqual([]);
  await claims.letGo();
  await own.engine.close();
  expect((await multiset(own, [pair.deadLetters])).length).toBeLessThan(10);
});

describe("what is received together with dead letters", () => {
  test("is as much as without them, also where several ask at once", async () => {
    const [alone, together] = [await newPair(broker), await newPair(broker)];
    for (const { queue } of [alone, together]) {
      await exhaust(broker, queue, 10);
      for (const body of numbered(20)) await client.send(queue, [body]);
    }
    const ask = async (queue: string, maxMessages: number) =>
      (await client.receive(queue, { maxMessages })).length;
    const from = performance.now();
    const received = await Promise.all([
      ask(alone.queue, 10),
      ask(together.queue, 5),
      ask(together.queue, 5),
    ]);
    // What was found is handed out without the rest where the dead letters take longer than that to be moved.
    if (performance.now() - from < 100) expect(received).toEqual([10, 5, 5]);
  });

  test("does not wait for them for long, and nobody else is kept from what is behind them", async () => {
    await using own = await Broker.start({ engines: 2 });
    const pair = await newPair(own);
    await exhaust(own, pair.queue, 1);
    await own.client().send(pair.queue, numbered(20));
    const moves = await holdDeadLetters(own.sql);
    expect(await own.client().receive(pair.queue, { maxMessages: 10 })).toHaveLength(10);
    await untilBlocked(own.sql);
    expect(await own.client(1).receive(pair.queue, { maxMessages: 10 })).toHaveLength(10);
    expect(await multiset(own, [pair.deadLetters])).toEqual([]);
    await moves.letGo();
    await own.engine.close();
    expect(await multiset(own, [pair.deadLetters])).toHaveLength(1);
  });

  test("is handed out when they cannot be moved, which is told", async () => {
    await using own = await Broker.start();
    const pair = await newPair(own);
    await exhaust(own, pair.queue, 1);
    await own.client().send(pair.queue, numbered(5));
    await own.sql`ALTER TABLE queue_ledger ADD CONSTRAINT none CHECK (kind <> 'deadLettered') NOT VALID`;
    expect(await own.client().receive(pair.queue, { maxMessages: 10 })).toHaveLength(5);
    // It may be told after they are handed out.
    await until(() => Promise.resolve(own.failures.length > 0));
    expect(own.failures.splice(0)).toMatchObject([{ what: "dead letters" }]);
    await own.sql`ALTER TABLE queue_ledger DROP CONSTRAINT none`;
    await own.client().receive(pair.queue);
    expect(await multiset(own, [pair.deadLetters])).toHaveLength(1);
  });
});

test.each([
  ["the same process", client],
  ["another process", otherProcess],
])("a long poll on the dead-letter queue wakes, of %s", async (_, consumer) => {
  const pair = await newPair(broker);
  await client.send(pair.queue, ["m"]);
  await failOnce(client, pair.queue);
  const waiting = consumer.receive(pair.deadLetters, { wait: 20 });
  expect(await client.receive(pair.queue)).toEqual([]);
  expect(bodiesOf(await waiting)).toEqual(["m"]);
});

test("a handle of before the move can do nothing", async () => {
  const pair = await newPair(broker);
  await client.send(pair.queue, ["m"]);
  const held = await client.receive(pair.queue);
  await broker.clock.advance(60);
  await client.receive(pair.queue);
  expect(await client.acknowledge(pair.queue, held)).toEqual(["receipt_handle_expired"]);
  expect(await client.hide(pair.queue, held, 0)).toEqual(["message_not_in_flight"]);
  await expect(client.acknowledge(pair.deadLetters, held)).rejects.toMatchObject({
    code: "receipt_handle_invalid",
  });
  expect(await client.finish(pair.deadLetters)).toEqual(["m"]);
});

test.each([
  ["standard", false],
  ["FIFO", true],
])(
  "the same message of two %s queues is two dead letters, told apart by their first receives, each acknowledged alone",
  async (_, fifo) => {
    await using own = await Broker.start();
    const client = own.client();
    const one = await newPair(own, 1, { fifo });
    const redrive = { deadLetterQueue: one.deadLetters, maxReceiveCount: 1 };
    const other = await own.newQueue({ fifo, redrive });
    const topic = await (fifo ? newFifoTopic(own, []) : own.newTopic([]));
    for (const queue of [one.queue, other]) await own.engine.subscribe(ACCOUNT, topic, queue);
    await client.publish(topic, fifo ? [{ body: "m", groupId: "g", deduplicationId: "m" }] : ["m"]);
    for (const queue of [one.queue, other]) {
      const held = await client.receive(queue, { wait: 20 });
      await client.hide(queue, held, 0);
      await client.drain(queue);
    }
    const letters = await client.receive(one.deadLetters, { maxMessages: 10 });
    expect(bodiesOf(letters)).toEqual(["m", "m"]);
    const times = (messages: typeof letters) =>
      messages.map(({ firstReceivedAt }) => firstReceivedAt).sort();
    expect(new Set(times(letters)).size).toBe(2);
    await client.hide(one.deadLetters, letters, 0);
    const again = await client.receive(one.deadLetters, { maxMessages: 10 });
    expect(times(again)).toEqual(times(letters));
    expect(await client.acknowledge(one.deadLetters, again.slice(0, 1))).toEqual(["ok"]);
    expect(await own.counts(one.deadLetters)).toMatchObject({ inFlight: 1 });
  },
);

describe("a dead-letter queue that is deleted", () => {
  test("leaves its source without one: messages are received again", async () => {
    const pair = await newPair(broker);
    await client.send(pair.queue, ["m"]);
    await failOnce(client, pair.queue);
    await client.engine.queues.delete(ACCOUNT, pair.deadLetters);
    expect(await broker.engine.queues.find(ACCOUNT, pair.queue)).toMatchObject({ redrive: null });
    expect(await client.receive(pair.queue)).toMatchObject([{ body: "m", receiveCount: 2 }]);
  });

  test("in the instant of a move takes nothing with it", async () => {
    const pair = await newPair(broker);
    await client.send(pair.queue, ["m"]);
    await failOnce(client, pair.queue);
    const deletion = await holdDeletion(broker, pair.deadLetters, "COMMIT");
    expect(await client.receive(pair.queue)).toEqual([]);
    await deletion.letGo();
    expect(await client.receive(pair.queue)).toMatchObject([{ body: "m", receiveCount: 2 }]);
    expect(await broker.counts(pair.queue)).toMatchObject({ inFlight: 1 });
  });

  describe("by somebody who stands still in the middle of it", () => {
    test.each([1, 30])("keeps what is behind %i of its letters from nobody", async (letters) => {
      const pair = await newPair(broker);
      await exhaust(broker, pair.queue, letters);
      await client.send(pair.queue, ["good"]);
      const deletion = await holdDeletion(broker, pair.deadLetters);
      expect(bodiesOf(await client.receive(pair.queue))).toEqual(["good"]);
      expect(await client.receive(pair.queue)).toEqual([]);
      await deletion.letGo();
      expect(await client.receive(pair.queue)).toEqual([]);
      expect(await multiset(broker, [pair.deadLetters])).toHaveLength(letters);
    });

    test("lets a receive that waits have them again when it ends", async () => {
      const pair = await newPair(broker);
      await client.send(pair.queue, ["m"]);
      await failOnce(client, pair.queue);
      const deletion = await holdDeletion(broker, pair.deadLetters, "COMMIT");
      const waiting = client.receive(pair.queue, { wait: 20 });
      expect(await client.receive(pair.queue)).toEqual([]);
      await deletion.letGo();
      expect(await waiting).toMatchObject([{ body: "m", receiveCount: 2 }]);
    });
  });
});

describe("a policy is refused, and nothing changed,", () => {
  test.each([
    ["that names a queue which is not there", "nowhere", "create it first"],
    ["that names the queue itself", "self", "its own dead-letter queue"],
    ["when that queue takes none", "denyAll", "does not take dead letters"],
    ["when that queue takes those of others only", "byQueue", "does not take dead letters"],
  ])("%s", async (_, which, message) => {
    const queue = await broker.newQueue();
    const names: Record<string, string> = {
      nowhere: "nowhere",
      self: queue,
      denyAll: await broker.newQueue({ redriveAllow: { permission: "denyAll" } }),
      byQueue: await broker.newQueue({
        redriveAllow: { permission: "byQueue", queues: ["somebody"] },
      }),
    };
    const redrive = { deadLetterQueue: names[which] ?? "", maxReceiveCount: 3 };
    const refusal = {
      code: "invalid_request",
      details: [{ path: "redrive.deadLetterQueue", message: expect.stringContaining(message) }],
    };
    const { queues } = broker.engine;
    const update = queues.update(ACCOUNT, queue, { redrive, visibilityTimeout: 5 });
    await expect(update).rejects.toMatchObject(refusal);
    expect(await queues.find(ACCOUNT, queue)).toMatchObject({
      redrive: null,
      visibilityTimeout: 30,
    });
    if (which === "self") return;
    await expect(broker.newQueue({ redrive })).rejects.toMatchObject(refusal);
  });
});

test("a policy that names a queue which takes its letters is kept, and can be taken away", async () => {
  const { queues } = broker.engine;
  const deadLetters = await broker.newQueue({
    redriveAllow: { permission: "byQueue", queues: ["allowed"] },
  });
  const redrive = { deadLetterQueue: deadLetters, maxReceiveCount: 3 };
  const { queue } = await queues.create(ACCOUNT, "allowed", { redrive });
  expect(queue).toMatchObject({ redrive });
  const again = await queues.create(ACCOUNT, "allowed", { redrive });
  expect(again.created).toBe(false);
  await expect(queues.create(ACCOUNT, "allowed", {})).rejects.toMatchObject({
    code: "queue_exists",
  });
  const row = await queues.find(ACCOUNT, deadLetters);
  expect(await queues.deadLetterSources(row!)).toEqual(["allowed"]);
  await change(client, "allowed", { redrive: null });
  expect(await queues.find(ACCOUNT, "allowed")).toMatchObject({ redrive: null });
});

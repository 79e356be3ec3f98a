import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { newPair } from "./dead-letters.ts";
import { holdClaims, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ engines: 2, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

test("an empty queue is answered at once with nothing", async () => {
  const queue = await broker.newQueue();
  expect(await client.receive(queue)).toEqual([]);
});

test("a queue that is not there is refused", async () => {
  await expect(client.receive("nowhere")).rejects.toMatchObject({ code: "queue_not_found" });
});

describe("the visibility timeout", () => {
  test("hides what was received until it is over, then shows it again with its receive count raised", async () => {
    const queue = await broker.newQueue({ visibilityTimeout: 60 });
    await client.send(queue, ["m"]);
    const [first] = await client.receive(queue);
    expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 1, delayed: 0 });
    await broker.clock.advance(50);
    expect(await client.receive(queue)).toEqual([]);
    await broker.clock.advance(10);
    const [second] = await client.receive(queue);
    expect(second).toEqual({ ...first, handle: second!.handle, receiveCount: 2 });
    expect(second!.handle).not.toBe(first!.handle);
    await broker.clock.advance(60);
    expect(await client.receive(queue)).toMatchObject([{ receiveCount: 3 }]);
  });

  test("of the call counts before that of the queue", async () => {
    const queue = await broker.newQueue({ visibilityTimeout: 600 });
    await client.send(queue, ["m"]);
    await client.receive(queue, { visibilityTimeout: 60 });
    await broker.clock.advance(60);
    expect(bodiesOf(await client.receive(queue))).toEqual(["m"]);
  });

  test("that the queue was changed to counts for the next receive", async () => {
    const queue = await broker.newQueue({ visibilityTimeout: 600 });
    await client.send(queue, ["m"]);
    await broker.engine.queues.update(ACCOUNT, queue, { visibilityTimeout: 60 });
    await otherProcess.receive(queue);
    await broker.clock.advance(60);
    expect(bodiesOf(await client.receive(queue))).toEqual(["m"]);
  });

  test("of 0 hides nothing", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["m"]);
    await client.receive(queue, { visibilityTimeout: 0 });
    await broker.clock.advance(0.01);
    expect(await client.receive(queue)).toMatchObject([{ receiveCount: 2 }]);
  });

  test("of 0 hands each message out once in a receive that looks more than once", async () => {
    const pair = await newPair(broker);
    for (const queue of [await broker.newQueue(), pair.queue]) {
      // 63 messages a slice lately, so a first look for a hundred is one at a few slices.
      await client.send(queue, numbered(63));
      await client.finish(queue);
      for (const body of numbered(3)) await client.send(queue, [body]);
      const messages = await client.receive(queue, { maxMessages: 100, visibilityTimeout: 0 });
      expect(bodiesOf(messages)).toEqual(numbered(3));
      expect(await broker.counts(queue)).toMatchObject({ visible: 3 });
    }
    expect(await broker.counts(pair.deadLetters)).toMatchObject({ visible: 0 });
  });

  test("may be twelve hours", async () => {
    const queue = await broker.newQueue({ visibilityTimeout: 43_200 });
    await client.send(queue, ["m"]);
    const held = await client.receive(queue);
    await broker.clock.advance(43_100);
    expect(await client.receive(queue)).toEqual([]);
    expect(await client.acknowledge(queue, held)).toEqual(["ok"]);
  });

  test("of some messages of a batch lets each part come back in its own time", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, numbered(9));
    await client.receive(queue, { maxMessages: 2, visibilityTimeout: 60 });
    await client.receive(queue, { maxMessages: 3, visibilityTimeout: 180 });
    await client.receive(queue, { maxMessages: 3, visibilityTimeout: 300 });
    expect(await broker.counts(queue)).toEqual({ visible: 1, inFlight: 8, delayed: 0 });
    await broker.clock.advance(60);
    expect(await broker.counts(queue)).toMatchObject({ visible: 3 });
    await broker.clock.advance(120);
    expect(await broker.counts(queue)).toMatchObject({ visible: 6 });
    await broker.clock.advance(120);
    expect(bodiesOf(await client.drain(queue)).sort()).toEqual(numbered(9));
  });
});

describe("how many", () => {
  test("one unless more are asked for", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, numbered(5));
    expect(bodiesOf(await client.receive(queue))).toEqual(["m0"]);
    expect(await broker.counts(queue)).toEqual({ visible: 4, inFlight: 1, delayed: 0 });
  });

  test.each([1, 2, 9, 10, 62, 63, 64, 126, 500, 999, 1_000])(
    "a receive of %i never returns more, and with its repeats everything once",
    async (maxMessages) => {
      const queue = await broker.newQueue();
      const bodies = numbered(maxMessages < 9 ? 130 : 1_000);
      for (let start = 0, size = 1; start < bodies.length; start += size, size += 7) {
        await client.send(queue, bodies.slice(start, start + size));
      }
      const received: string[] = [];
      while (received.length < bodies.length) {
        const messages = await client.receive(queue, { maxMessages });
        expect(messages.length).toBeGreaterThan(0);
        expect(messages.length).toBeLessThanOrEqual(maxMessages);
        received.push(...bodiesOf(messages));
      }
      expect(received).toEqual(bodies);
      expect(await client.receive(queue, { maxMessages })).toEqual([]);
    },
  );

  test("a thousand come out of a thousand batches of one", async () => {
    const queue = await broker.newQueue();
    for (let call = 0; call < 250; call += 1) await client.send(queue, [`m${call}`]);
    const messages = await client.receive(queue, { maxMessages: 1_000 });
    expect(messages.length).toBeGreaterThanOrEqual(125);
    expect(await client.drain(queue)).toHaveLength(250 - messages.length);
  });
});

describe("receivers at the same time", () => {
  test("share a batch without overlap, in one process and in two", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, numbered(60));
    const calls = Array.from({ length: 30 }, (_, index) =>
      (index % 2 === 0 ? client : otherProcess).receive(queue, { maxMessages: 2 }),
    );
    const together = bodiesOf((await Promise.all(calls)).flat());
    expect(new Set(together).size).toBe(together.length);
    const rest = bodiesOf(await client.drain(queue));
    expect([...together, ...rest].sort()).toEqual(numbered(60).sort());
  });

  test("are all served while messages are visible", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["alone"]);
    await client.send(queue, numbered(62));
    const [first, second] = await Promise.all([client.receive(queue), client.receive(queue)]);
    expect(bodiesOf([...first, ...second])).toEqual(["alone", "m0"]);
  });

  test("are each held to their own visibility timeout", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, numbered(10));
    const [short, long] = await Promise.all([
      client.receive(queue, { maxMessages: 5, visibilityTimeout: 60 }),
      client.receive(queue, { maxMessages: 5, visibilityTimeout: 600 }),
    ]);
    expect([short.length, long.length]).toEqual([5, 5]);
    await broker.clock.advance(60);
    expect(bodiesOf(await client.drain(queue))).toEqual(bodiesOf(short));
  });
});

describe("retention", () => {
  test("is the age at which a message is no longer handed out, received before or not", async () => {
    const queue = await broker.newQueue({ retention: 600, visibilityTimeout: 30 });
    await client.send(queue, ["seen"]);
    await client.receive(queue);
    await client.send(queue, ["unseen"]);
    await broker.clock.advance(300);
    await client.send(queue, ["young"]);
    await broker.clock.advance(301);
    expect(await broker.counts(queue)).toEqual({ visible: 1, inFlight: 0, delayed: 0 });
    expect(bodiesOf(await client.drain(queue))).toEqual(["young"]);
  });

  test("changed, counts for what is stored already", async () => {
    const queue = await broker.newQueue({ retention: 600 });
    await client.send(queue, ["m"]);
    await broker.clock.advance(601);
    await broker.engine.queues.update(ACCOUNT, queue, { retention: 6_000 });
    expect(bodiesOf(await client.receive(queue))).toEqual(["m"]);
  });
});

test("the oldest message's age is that of the first one sent", async () => {
  const queue = await broker.newQueue();
  const row = await broker.engine.queues.find(ACCOUNT, queue);
  expect(await broker.engine.queues.counts(row!)).toMatchObject({ oldestMessageAge: null });
  await client.send(queue, ["old"]);
  await broker.clock.advance(100);
  await client.send(queue, ["young"]);
  const { oldestMessageAge } = await broker.engine.queues.counts(row!);
  expect(oldestMessageAge).toBeGreaterThanOrEqual(100);
  expect(oldestMessageAge).toBeLessThan(130);
});

test("a process that never saw the batch reads it from the database", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, numbered(3));
  expect(bodiesOf(await otherProcess.receive(queue, { maxMessages: 3 }))).toEqual(numbered(3));
});

test("what a receive has claimed is handed out when its next look fails", async () => {
  const queue = await broker.newQueue({ visibilityTimeout: 600 });
  // So many in a slice are expected, and what comes next is looked at bit by bit.
  await client.send(queue, numbered(63));
  await client.finish(queue);
  for (const body of numbered(40)) await client.send(queue, [body]);
  const [last] = await broker.sql<{ id: string }[]>`SELECT max(batch_id) AS id FROM slices`;
  await broker.sql.unsafe(`
    ALTER TABLE slices ADD CONSTRAINT last_stays CHECK (batch_id <> ${last!.id} OR receive_count = 0) NOT VALID`);
  const first = await client.receive(queue, { maxMessages: 1_000 });
  expect(first.length).toBeGreaterThan(0);
  expect(first.length).toBeLessThan(40);
  await broker.sql`ALTER TABLE slices DROP CONSTRAINT last_stays`;
  const others = await client.drain(queue);
  expect([...first, ...others].map(({ receiveCount }) => receiveCount)).toEqual(
    Array.from({ length: 40 }, () => 1),
  );
});

test("what was claimed and cannot be read is visible again at once, as if nobody had received it", async () => {
  const queue = await broker.newQueue({ visibilityTimeout: 600 });
  await client.send(queue, ["m"]);
  await broker.sql`ALTER TABLE batches RENAME TO batches_away`;
  await expect(otherProcess.receive(queue)).rejects.toThrow("batches");
  await broker.sql`ALTER TABLE batches_away RENAME TO batches`;
  const messages = await otherProcess.receive(queue, { wait: 20 });
  expect(messages).toMatchObject([{ body: "m", receiveCount: 1 }]);
});

test("a process that ends answers whoever waits, and lets nobody wait any more", async () => {
  await using ending = await Broker.start({ dispatchers: 0 });
  const queue = await ending.newQueue();
  const waiting = Array.from({ length: 10 }, () => ending.client().receive(queue, { wait: 20 }));
  await ending.client().receive(queue);
  ending.engine.receiver.close();
  expect((await Promise.all(waiting)).flat()).toEqual([]);
  expect(await ending.client().receive(queue, { wait: 20 })).toEqual([]);
  await ending.client().send(queue, ["m"]);
  expect(bodiesOf(await ending.client().receive(queue, { wait: 20 }))).toEqual(["m"]);
});

test("a process that ends answers at once whose claim is under way, when that finds nothing", async () => {
  await using ending = await Broker.start({ dispatchers: 0 });
  const queue = await ending.newQueue();
  const claims = await holdClaims(ending.sql);
  const waiting = ending.client().receive(queue, { wait: 600 });
  await untilBlocked(ending.sql);
  ending.engine.receiver.close();
  await claims.letGo();
  expect(await waiting).toEqual([]);
});

test("hundreds of queues are received from at once, of each as much as a receive may take", async () => {
  const queues = await Promise.all(Array.from({ length: 250 }, async () => broker.newQueue()));
  const last = queues.at(-1)!;
  await client.send(last, numbered(3));
  const received = await Promise.all(
    queues.map(async (queue) => client.receive(queue, { maxMessages: 1_000 })),
  );
  expect(received.flatMap(bodiesOf)).toEqual(["m0", "m1", "m2"]);
});

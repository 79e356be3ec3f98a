import { classifyFailure } from "@sluice/database";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { finishInOrder, grouped, newFifoTopic, one } from "./fifo.ts";
import { holdWith, until, untilBlocked, type Held } from "./interleaving.ts";

const broker = await Broker.start({ engines: 2 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

const newFifo = () => broker.newQueue({ fifo: true, visibilityTimeout: 60 });

/** Locks the groups of queues that have messages, as somebody who stands still in the middle of receiving them. */
async function holdGroups(...queues: string[]): Promise<Held> {
  const ids = await Promise.all(queues.map(async (queue) => BigInt(await broker.idOf(queue))));
  return await holdWith(
    broker.sql,
    `SELECT FROM fifo_groups WHERE queue_id IN (${ids.join()}) FOR UPDATE`,
  );
}

/** Locks a queue, as somebody who stands still in the middle of a send to it. */
async function holdQueue(queue: string): Promise<Held> {
  const id = BigInt(await broker.idOf(queue));
  return await holdWith(broker.sql, `SELECT pg_advisory_xact_lock(${2n ** 62n + id})`);
}

async function holdTopic(topic: string, locks = 2n ** 60n): Promise<Held> {
  const row = await broker.engine.topics.find(ACCOUNT, topic);
  const lock = locks + BigInt(row?.id ?? "");
  return await holdWith(broker.sql, `SELECT pg_advisory_xact_lock(${lock})`);
}

/** Locks a FIFO topic, as a dispatcher that is fanning it out. */
async function holdFanOut(topic: string): Promise<Held> {
  return await holdTopic(topic, 2n ** 59n);
}

describe("whoever stands still", () => {
  test.each([
    ["a group of a queue", holdGroups],
    ["a queue", holdQueue],
  ])("with %s holds up its sends only, whatever process they come to", async (_, hold) => {
    const [free, locked, later] = [await newFifo(), await newFifo(), await newFifo()];
    await client.send(locked, grouped("a", 1));
    const held = await hold(locked);
    const sending = client.send(free, grouped("a", 1));
    const waiting = client.send(locked, grouped("a", 1, 1));
    await sending;
    await untilBlocked(broker.sql);
    await client.send(free, grouped("a", 1, 1));
    await client.send(later, grouped("a", 1));
    await otherProcess.send(free, grouped("a", 1, 2));
    await otherProcess.send(later, grouped("a", 1, 1));
    await untilBlocked(broker.sql, 1, 0.3);
    await held.letGo();
    await waiting;
    expect(await finishInOrder(client, free)).toEqual(["a0", "a1", "a2"]);
    expect(await finishInOrder(client, locked)).toEqual(["a0", "a1"]);
    expect(await finishInOrder(client, later)).toEqual(["a0", "a1"]);
  });

  test("with a FIFO topic holds up its publishes only", async () => {
    const [queue, other] = [await newFifo(), await newFifo()];
    const [locked, free] = [
      await newFifoTopic(broker, [queue]),
      await newFifoTopic(broker, [other]),
    ];
    const held = await holdTopic(locked);
    const publishing = client.publish(free, grouped("a", 1));
    const waiting = client.publish(locked, grouped("a", 1));
    await publishing;
    await client.publish(free, grouped("a", 1, 1));
    await otherProcess.publish(free, grouped("a", 1, 2));
    await untilBlocked(broker.sql, 1, 0.3);
    await held.letGo();
    await waiting;
    await broker.untilFannedOut();
    expect(await finishInOrder(client, queue)).toEqual(["a0"]);
    expect(await finishInOrder(client, other)).toEqual(["a0", "a1", "a2"]);
  });
});

test.each([
  ["a group of a queue", holdGroups],
  ["a queue", holdQueue],
])(
  "a dispatcher that comes to a FIFO topic second, when nothing is left, does not lock %s",
  async (_, hold) => {
    const queue = await newFifo();
    const topic = await newFifoTopic(broker, [queue]);
    await client.send(queue, grouped("a", 1));
    const first = await holdFanOut(topic);
    await client.publish(topic, grouped("a", 1, 1));
    await untilBlocked(broker.sql);
    await broker.sql`DELETE FROM outbox`;
    const held = await hold(queue);
    await first.letGo();
    await until(async () => {
      const busy = await broker.sql`
        SELECT pid IN (SELECT pid FROM pg_locks WHERE NOT granted) AS waits FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'test-dispatcher' AND state <> 'idle'`;
      expect(busy).not.toContainEqual({ waits: true });
      return busy.length === 0;
    });
    await held.letGo();
  },
);

test("sends of a process stay in their order while their queue is held and let go again", async () => {
  const queue = await newFifo();
  const other = await newFifo();
  await client.send(queue, [one("a", "first")]);
  const sent: string[] = [];
  const sending: Promise<unknown>[] = [];
  const send = () => {
    const body = `a${sent.length}`;
    sent.push(body);
    sending.push(client.send(queue, [one("a", body)]), client.send(other, [one("b", body)]));
  };
  for (const hold of [holdGroups, holdQueue, holdGroups]) {
    send();
    const held = await hold(queue);
    for (let count = 0; count < 5; count += 1) {
      send();
      await client.send(other, [one("between", `between-${sent.length}`)]);
    }
    await untilBlocked(broker.sql, 1, 0.3);
    send();
    await held.letGo();
    // The way back: some meet the line of their queue, some the rounds of all.
    for (let count = 0; count < 20; count += 1) {
      send();
      await Promise.race(sending.slice(-1));
    }
  }
  await Promise.all(sending);
  expect(await finishInOrder(client, queue)).toEqual(["first", ...sent]);
  const ofOther = await finishInOrder(client, other);
  expect(ofOther.filter((body) => body.startsWith("a"))).toEqual(sent);
});

test("a repeat of a call to a held queue gets the answer of that, and all stay in their order", async () => {
  const queue = await newFifo();
  await client.send(queue, grouped("a", 1));
  const held = await holdGroups(queue);
  const options = { idempotencyKey: "twice" };
  const send = (body: string, more = {}) =>
    client.engine.sender.send(
      ACCOUNT,
      queue,
      [{ groupId: "a", deduplicationId: body, body }],
      more,
    );
  const sending = [send("a1"), send("a2", options), send("a3"), send("a2", options), send("a4")];
  await untilBlocked(broker.sql, 1, 0.3);
  await held.letGo();
  const results = await Promise.all(sending);
  expect(results[3]).toEqual(results[1]);
  expect(await finishInOrder(client, queue)).toEqual(["a0", "a1", "a2", "a3", "a4"]);
});

describe("while all groups that may be handed out are held by somebody who stands still", () => {
  test("a receive that does not wait is answered, and what comes to other groups is received", async () => {
    const queue = await newFifo();
    await client.send(queue, grouped("a", 1));
    const held = await holdGroups(queue);
    expect(await client.receive(queue, { maxMessages: 10 })).toEqual([]);
    const waiting = client.receive(queue, { maxMessages: 10, wait: 20 });
    await untilBlocked(broker.sql);
    await otherProcess.send(queue, grouped("b", 1));
    expect(bodiesOf(await waiting)).toEqual(["b0"]);
    await held.letGo();
    expect(bodiesOf(await client.receive(queue, { wait: 20 }))).toEqual(["a0"]);
  });

  test("a receive that waits looks again until it has them, though nobody tells it", async () => {
    const queue = await newFifo();
    await client.send(queue, grouped("a", 1));
    const held = await holdGroups(queue);
    const waiting = client.receive(queue, { wait: 20 });
    await untilBlocked(broker.sql);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await held.letGo();
    expect(bodiesOf(await waiting)).toEqual(["a0"]);
  });
});

test("receives that wait for held groups of as many queues as there are connections, and more, hold up nothing else", async () => {
  const connections = client.engine.database.sql.options.max;
  const queues = await Promise.all(Array.from({ length: 2 * connections }, newFifo));
  for (const queue of queues) await client.send(queue, grouped("a", 1));
  const [free, standard] = [await newFifo(), await broker.newQueue()];
  await client.send(free, [...grouped("a", 1), ...grouped("b", 1)]);
  await client.send(standard, ["one", "two"]);
  const [ofFree, ofStandard] = [await client.receive(free), await client.receive(standard)];
  const held = await holdGroups(...queues);
  const waiting = queues.map((queue) => client.receive(queue, { wait: 20 }));
  const sending = queues.map((queue) => client.send(queue, grouped("a", 1, 1)));
  await untilBlocked(broker.sql, 2, 0.3);
  expect(await client.acknowledge(free, ofFree)).toEqual(["ok"]);
  expect(bodiesOf(await client.receive(free))).toEqual(["b0"]);
  await client.send(free, grouped("c", 1));
  expect(await client.hide(standard, ofStandard, 0)).toEqual(["ok"]);
  expect(await client.receive(standard, { maxMessages: 2 })).toHaveLength(2);
  await held.letGo();
  await Promise.all(sending);
  for (const messages of await Promise.all(waiting)) expect(bodiesOf(messages)[0]).toBe("a0");
});

test("delayed messages of a held group that are taken back hold up nothing else", async () => {
  const connections = client.engine.database.sql.options.max;
  const queue = await broker.newQueue({ fifo: true, delay: 600 });
  const free = await newFifo();
  const ids = await client.send(queue, grouped("a", 2 * connections));
  await client.send(free, grouped("a", 1));
  const held = await holdGroups(queue);
  const cancelling = ids.map((id) => client.engine.cancelDelayed(ACCOUNT, queue, id));
  await untilBlocked(broker.sql, 1, 0.3);
  const received = await client.receive(free);
  expect(bodiesOf(received)).toEqual(["a0"]);
  expect(await client.acknowledge(free, received)).toEqual(["ok"]);
  await held.letGo();
  await Promise.all(cancelling);
  expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
});

describe("a repeat of a receive whose group is held by somebody who stands still", () => {
  const attempt = { maxMessages: 10, attemptId: "one" };

  test("holds up no other receive of the queue, and gets what the first one got when it can", async () => {
    const queue = await newFifo();
    await client.send(queue, grouped("a", 2));
    const first = await client.receive(queue, attempt);
    const held = await holdGroups(queue);
    const repeating = otherProcess.receive(queue, { ...attempt, wait: 20 });
    await untilBlocked(broker.sql);
    await client.send(queue, grouped("b", 2));
    expect(bodiesOf(await otherProcess.receive(queue, { wait: 20 }))).toEqual(["b0"]);
    await held.letGo();
    expect(await repeating).toEqual(first);
  });

  test("says to try again where it does not wait, since it cannot tell that there is nothing", async () => {
    const queue = await newFifo();
    await client.send(queue, grouped("a", 2));
    const first = await client.receive(queue, attempt);
    const held = await holdGroups(queue);
    const error: unknown = await client.receive(queue, attempt).catch((thrown: unknown) => thrown);
    expect(classifyFailure(error)).toBe("unavailable");
    await held.letGo();
    expect(await client.receive(queue, attempt)).toEqual(first);
  });
});

test("dead letters whose queue is held by somebody who stands still hold up no other group", async () => {
  const deadLetters = await newFifo();
  const redrive = { deadLetterQueue: deadLetters, maxReceiveCount: 1 };
  const queue = await broker.newQueue({ fifo: true, visibilityTimeout: 60, redrive });
  await client.send(
    queue,
    ["a", "b", "c"].flatMap((name) => grouped(name, 2)),
  );
  const failed = await client.receive(queue, { maxMessages: 4 });
  await client.hide(queue, failed, 0);
  const held = await holdQueue(deadLetters);
  expect(bodiesOf(await client.receive(queue, { wait: 20 }))).toEqual(["c0"]);
  expect(await client.receive(queue)).toEqual([]);
  const waiting = client.receive(queue, { wait: 20 });
  await untilBlocked(broker.sql);
  await otherProcess.send(queue, grouped("d", 1));
  expect(bodiesOf(await waiting)).toEqual(["d0"]);
  await held.letGo();
  expect(await client.receive(queue)).toEqual([]);
  expect((await finishInOrder(client, deadLetters)).sort()).toEqual(["a0", "a1", "b0", "b1"]);
});

import { createInProcessBus } from "@sluice/bus";
import { carryOnRedrives, cleanUp, type Queue } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { bury, failOnce, multiset, newPair, type DeadLetterPair } from "./dead-letters.ts";
import { one } from "./fifo.ts";
import { holdSlices, holdWith, refuseSlices, until } from "./interleaving.ts";

// Without a dispatcher of its own, so that a test says when a redrive goes on.
const broker = await Broker.start({ engines: 2, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const { redrives } = broker.engine;
const DAY = 86_400;
const NEVER = new AbortController().signal;
const bus = createInProcessBus();

/** What the duty of a dispatcher does in one run. */
async function step(): Promise<"again" | undefined> {
  return await carryOnRedrives({
    sql: broker.database.sql,
    bus,
    observer: broker.observer,
    signal: NEVER,
  });
}

async function queueOf(name: string): Promise<Queue> {
  const queue = await broker.engine.queues.find(ACCOUNT, name);
  if (!queue) throw new Error(`there is no queue ${name}`);
  return queue;
}

async function start(name: string, options: { destination?: string; rate?: number } = {}) {
  const { destination, rate } = options;
  return await redrives.start(await queueOf(name), {
    destination: destination === undefined ? undefined : await queueOf(destination),
    rate,
  });
}

async function find(name: string, id: string) {
  return await redrives.find(await queueOf(name), id);
}

/** Dead letters in slices of one message each. */
async function buryOneByOne(pair: DeadLetterPair, count: number): Promise<void> {
  for (const body of numbered(count)) await client.send(pair.queue, [body]);
  await bury(client, pair, ["last"]);
  const letters = await client.receive(pair.deadLetters, { maxMessages: 1_000 });
  await client.acknowledge(
    pair.deadLetters,
    letters.filter(({ body }) => body === "last"),
  );
  await broker.clock.advance(60);
}

describe("dead letters go", () => {
  test("back to where each came from, as new", async () => {
    const one = await newPair(broker);
    const redrive = { deadLetterQueue: one.deadLetters, maxReceiveCount: 1 };
    const other = { queue: await broker.newQueue({ redrive }), deadLetters: one.deadLetters };
    await bury(client, one, ["a", "b"]);
    await bury(client, other, ["c"]);
    const before = await broker.engine.peek(ACCOUNT, one.deadLetters, {});
    const task = await start(one.deadLetters);
    expect(task).toMatchObject({ queue: one.deadLetters, status: "running", moved: 0, total: 3 });
    expect(task.destination).toBeUndefined();
    await step();
    await step();
    expect(await find(one.deadLetters, task.id)).toMatchObject({
      status: "completed",
      moved: 3,
      total: 3,
      finishedAt: expect.any(Date),
    });
    const back = await client.receive(one.queue, { maxMessages: 10 });
    expect(back).toMatchObject([
      { body: "a", receiveCount: 1 },
      { body: "b", receiveCount: 1 },
    ]);
    expect(back.map(({ messageId }) => messageId)).toEqual(
      before.messages.slice(0, 2).map(({ messageId }) => messageId),
    );
    expect(back[0]!.sentAt).toBeGreaterThan(before.messages[0]!.sentAt.getTime());
    expect(await client.finish(other.queue)).toEqual(["c"]);
    const { messages } = await broker.engine.peek(ACCOUNT, one.queue, {});
    expect(messages[0]).not.toHaveProperty("failureReason");
  });

  test.each([false, true])(
    "back although they are older than what is kept there (FIFO: %s)",
    async (fifo) => {
      const pair = await newPair(broker, 1, { fifo });
      await broker.engine.queues.update(ACCOUNT, pair.deadLetters, { retention: 10 * DAY });
      await bury(client, pair, fifo ? [one("a", "old")] : ["old"]);
      await broker.clock.advance(5 * DAY);
      await start(pair.deadLetters);
      await step();
      // It is kept for as long as what was sent just now.
      await broker.clock.advance(3 * DAY);
      expect(await client.finish(pair.queue)).toEqual(["old"]);
    },
  );

  test("to a named queue, also what was sent straight to the dead-letter queue", async () => {
    const pair = await newPair(broker);
    const destination = await broker.newQueue();
    await bury(client, pair, ["a"]);
    await client.send(pair.deadLetters, ["b"]);
    const task = await start(pair.deadLetters, { destination });
    expect(task).toMatchObject({ destination, total: 2 });
    await step();
    expect((await client.finish(destination)).sort()).toEqual(["a", "b"]);
    expect(await multiset(broker, [pair.queue, pair.deadLetters])).toEqual([]);
  });

  test("back also when they were split since by a change of visibility", async () => {
    const pair = await newPair(broker);
    await bury(client, pair, numbered(4));
    const letters = await client.receive(pair.deadLetters, { maxMessages: 4 });
    await client.hide(pair.deadLetters, letters.slice(0, 2), 0);
    await broker.clock.advance(60);
    const { messages } = await broker.engine.peek(ACCOUNT, pair.deadLetters, {});
    expect(messages.filter(({ failureReason }) => failureReason !== undefined)).toHaveLength(4);
    await start(pair.deadLetters);
    await step();
    expect((await client.finish(pair.queue)).sort()).toEqual(numbered(4));
  });

  test("at once to whoever waits", async () => {
    await using whole = await Broker.start();
    const consumer = whole.client();
    const pair = await newPair(whole);
    await bury(consumer, pair, ["m"]);
    const waiting = consumer.receive(pair.queue, { wait: 20 });
    const queue = await whole.engine.queues.find(ACCOUNT, pair.deadLetters);
    await whole.engine.redrives.start(queue!, {});
    expect(bodiesOf(await waiting)).toEqual(["m"]);
  });
});

test("an old handle of the dead letter is worth nothing after a redrive", async () => {
  const pair = await newPair(broker);
  await client.send(pair.queue, ["m"]);
  const first = await client.receive(pair.queue);
  await client.hide(pair.queue, first, 0);
  await client.receive(pair.queue);
  const letter = await client.receive(pair.deadLetters);
  await broker.clock.advance(60);
  await start(pair.deadLetters);
  await step();
  expect(await client.acknowledge(pair.deadLetters, letter)).toEqual(["receipt_handle_expired"]);
  expect(await client.acknowledge(pair.queue, first)).toEqual(["receipt_handle_expired"]);
  expect(await client.finish(pair.queue)).toEqual(["m"]);
});

describe("what stays", () => {
  test("is what has nowhere to go", async () => {
    const pair = await newPair(broker);
    await bury(client, pair, ["orphan"]);
    await client.send(pair.deadLetters, ["stray"]);
    await broker.engine.queues.delete(ACCOUNT, pair.queue);
    const task = await start(pair.deadLetters);
    await step();
    expect(await find(pair.deadLetters, task.id)).toMatchObject({ status: "completed", moved: 0 });
    expect((await client.finish(pair.deadLetters)).sort()).toEqual(["orphan", "stray"]);
  });

  test("is what a consumer has in its hands", async () => {
    const pair = await newPair(broker);
    await bury(client, pair, ["a"]);
    const held = await client.receive(pair.deadLetters);
    await bury(client, pair, ["b"]);
    expect(await start(pair.deadLetters)).toMatchObject({ total: 1 });
    await step();
    expect(await client.finish(pair.queue)).toEqual(["b"]);
    expect(await client.acknowledge(pair.deadLetters, held)).toEqual(["ok"]);
  });

  test("is what failed again after the start, so that a redrive ends", async () => {
    const pair = await newPair(broker);
    await bury(client, pair, ["m"]);
    const task = await start(pair.deadLetters);
    await step();
    await failOnce(client, pair.queue);
    await client.drain(pair.queue);
    await step();
    expect(await find(pair.deadLetters, task.id)).toMatchObject({ status: "completed", moved: 1 });
    expect(await client.finish(pair.deadLetters)).toEqual(["m"]);
  });

  test.each([false, true])("is what has expired (FIFO: %s)", async (fifo) => {
    const pair = await newPair(broker, 1, { fifo });
    await broker.engine.queues.update(ACCOUNT, pair.deadLetters, { retention: 60 });
    await bury(client, pair, fifo ? [one("a", "m")] : ["m"]);
    await broker.clock.advance(61);
    const task = await start(pair.deadLetters);
    expect(task).toMatchObject({ total: 0 });
    await step();
    expect(await find(pair.deadLetters, task.id)).toMatchObject({ status: "completed", moved: 0 });
    expect(await client.receive(pair.queue)).toEqual([]);
  });
});

test("a rate bounds what has been moved since the start", async () => {
  const pair = await newPair(broker);
  await buryOneByOne(pair, 30);
  const all = await multiset(broker, [pair.deadLetters]);
  expect(all).toHaveLength(30);
  await broker.clock.stop();
  const task = await start(pair.deadLetters, { rate: 2 });
  for (const seconds of [5, 10]) {
    await broker.clock.advance(5);
    await step();
    const { moved } = (await find(pair.deadLetters, task.id))!;
    expect(moved).toBe(2 * seconds);
    expect(await broker.counts(pair.queue)).toMatchObject({ visible: moved });
  }
  await broker.clock.goOn();
  await broker.clock.advance(60);
  await step();
  await step();
  expect(await find(pair.deadLetters, task.id)).toMatchObject({ status: "completed", moved: 30 });
  expect(await multiset(broker, [pair.queue])).toEqual(all);
});

test("a cancelled one moves nothing more, and what it moved stays moved", async () => {
  const pair = await newPair(broker);
  await buryOneByOne(pair, 20);
  const all = await multiset(broker, [pair.deadLetters]);
  const task = await start(pair.deadLetters, { rate: 1 });
  await broker.clock.advance(5);
  await step();
  const cancelled = await redrives.cancel(await queueOf(pair.deadLetters), task.id);
  expect(cancelled).toMatchObject({ status: "cancelled", finishedAt: expect.any(Date) });
  expect(cancelled!.moved).toBeGreaterThanOrEqual(5);
  await broker.clock.advance(60);
  await step();
  expect(await find(pair.deadLetters, task.id)).toEqual(cancelled);
  expect(await multiset(broker, [pair.queue])).toHaveLength(cancelled!.moved);
  expect(await multiset(broker, [pair.queue, pair.deadLetters])).toEqual(all);
  expect(await redrives.cancel(await queueOf(pair.deadLetters), task.id)).toBeUndefined();
});

test("one whose destination is deleted in the middle has failed, and says where it was going; the rest stays", async () => {
  const pair = await newPair(broker);
  await buryOneByOne(pair, 20);
  const destination = await broker.newQueue();
  const task = await start(pair.deadLetters, { destination, rate: 1 });
  await broker.clock.advance(5);
  await step();
  const { moved } = (await find(pair.deadLetters, task.id))!;
  expect(moved).toBeGreaterThanOrEqual(5);
  await broker.engine.queues.delete(ACCOUNT, destination);
  await step();
  await step();
  expect(await find(pair.deadLetters, task.id)).toMatchObject({
    status: "failed",
    destination,
    moved,
    finishedAt: expect.any(Date),
  });
  expect(await multiset(broker, [pair.deadLetters])).toHaveLength(20 - moved);
});

test("one that had moved all before its destination was deleted is completed", async () => {
  const pair = await newPair(broker);
  await buryOneByOne(pair, 3);
  const destination = await broker.newQueue();
  const task = await start(pair.deadLetters, { destination });
  await step();
  await broker.engine.queues.delete(ACCOUNT, destination);
  await step();
  await step();
  expect(await find(pair.deadLetters, task.id)).toMatchObject({
    status: "completed",
    moved: 3,
    destination,
  });
});

test("one runs for a queue at a time; the list has the newest first", async () => {
  const pair = await newPair(broker);
  await bury(client, pair, ["m"]);
  const attempts = await Promise.allSettled([start(pair.deadLetters), start(pair.deadLetters)]);
  const refused = attempts.find((attempt) => attempt.status === "rejected");
  expect(refused?.reason).toMatchObject({ code: "redrive_running" });
  expect(attempts.filter((attempt) => attempt.status === "fulfilled")).toHaveLength(1);
  await step();
  await step();
  const second = await start(pair.deadLetters);
  const listed = await redrives.list(await queueOf(pair.deadLetters), 10);
  expect(listed.map(({ status }) => status)).toEqual(["running", "completed"]);
  expect(listed[0]).toEqual(second);
  expect(await redrives.list(await queueOf(pair.deadLetters), 1)).toEqual([second]);
  expect(await find(pair.queue, second.id)).toBeUndefined();
  await step();
});

test("an ended one can be looked at for 14 days", async () => {
  const queue = await broker.newQueue();
  const ended = await start(queue);
  await step();
  const running = await start(queue);
  await broker.clock.advance(13 * 86_400);
  await cleanUp(broker.database.maintenance);
  expect(await find(queue, ended.id)).toMatchObject({ status: "completed" });
  await broker.clock.advance(86_400);
  await cleanUp(broker.database.maintenance);
  const left = await redrives.list(await queueOf(queue), 10);
  expect(left.map(({ id }) => id)).toEqual([running.id]);
  await step();
});

test("into the queue itself it is refused", async () => {
  const queue = await broker.newQueue();
  await expect(start(queue, { destination: queue })).rejects.toMatchObject({
    code: "invalid_request",
    details: [{ path: "destination" }],
  });
});

describe("nothing is lost or doubled", () => {
  test("by two dispatchers at the same redrive, and consumers at both ends", async () => {
    const pair = await newPair(broker);
    for (let call = 0; call < 100; call += 1) await client.send(pair.queue, [`${call}`]);
    await bury(client, pair, numbered(60));
    const all = await multiset(broker, [pair.deadLetters]);
    expect(all).toHaveLength(160);
    const task = await start(pair.deadLetters, { rate: 100 });
    const queues = [pair.queue, pair.deadLetters];
    for (let round = 0; round < 4; round += 1) {
      await broker.clock.advance(0.5);
      await Promise.all([
        step(),
        step(),
        broker.client(1).receive(pair.queue, { maxMessages: 7 }),
        client.receive(pair.deadLetters, { maxMessages: 7 }),
      ]);
      expect(await multiset(broker, queues)).toEqual(all);
    }
    const { moved } = (await find(pair.deadLetters, task.id))!;
    expect(await multiset(broker, [pair.queue])).toHaveLength(moved);
    await redrives.cancel(await queueOf(pair.deadLetters), task.id);
  });

  test("when the dispatcher goes away in the middle and another one comes", async () => {
    const pair = await newPair(broker);
    await buryOneByOne(pair, 10);
    const all = await multiset(broker, [pair.deadLetters]);
    const task = await start(pair.deadLetters, { rate: 1 });
    await broker.clock.advance(4);
    // Killed while its statement waits for a lock: the transaction is rolled back.
    const held = await holdWith(broker.sql, "LOCK TABLE slices IN ACCESS EXCLUSIVE MODE");
    const dying = step();
    await until(async () => {
      const ended = await broker.sql`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%redrive_tasks%'`;
      return ended.length > 0;
    });
    await dying;
    expect(broker.failures.splice(0)).toMatchObject([{ what: "redrive" }]);
    await held.letGo();
    expect(await find(pair.deadLetters, task.id)).toMatchObject({ status: "running", moved: 0 });
    await broker.clock.advance(60);
    const other = await broker.startDispatcher();
    await until(async () => (await find(pair.deadLetters, task.id))?.status === "completed");
    expect(await multiset(broker, [pair.queue])).toEqual(all);
    await other.stop();
  });

  test("when the destination is deleted in the instant of the move", async () => {
    const pair = await newPair(broker);
    const destination = await broker.newQueue();
    await bury(client, pair, ["m"]);
    await start(pair.deadLetters, { destination });
    const id = await broker.idOf(destination);
    const deletion = await holdWith(broker.sql, `DELETE FROM queues WHERE id = ${id}`, "COMMIT");
    await step();
    await deletion.letGo();
    await step();
    expect(await client.finish(pair.deadLetters)).toEqual(["m"]);
  });
});

test("one that fails is told, and holds up no other", async () => {
  const [bad, good] = [await newPair(broker), await newPair(broker)];
  for (const pair of [bad, good]) await bury(client, pair, ["m"]);
  const refusal = await refuseSlices(broker.sql, await broker.idOf(bad.queue));
  const task = await start(bad.deadLetters);
  await start(good.deadLetters);
  await step();
  expect(broker.failures.splice(0)).toMatchObject([
    { what: "redrive", error: { message: "refused" } },
  ]);
  expect(await client.finish(good.queue)).toEqual(["m"]);
  await refusal.end();
  await step();
  await step();
  expect(await find(bad.deadLetters, task.id)).toMatchObject({ status: "completed", moved: 1 });
});

test("a message that a claim holds just now does not end the redrive", async () => {
  const pair = await newPair(broker);
  await bury(client, pair, ["m"]);
  const task = await start(pair.deadLetters);
  const claim = await holdSlices(broker.sql, await broker.idOf(pair.deadLetters));
  await step();
  expect(await find(pair.deadLetters, task.id)).toMatchObject({ status: "running", moved: 0 });
  await claim.letGo();
  await step();
  expect(await client.finish(pair.queue)).toEqual(["m"]);
});

test("nor has it hold up what stands behind it until the next round", async () => {
  const pair = await newPair(broker);
  const [queueId, deadLetters] = [
    await broker.idOf(pair.queue),
    await broker.idOf(pair.deadLetters),
  ];
  await broker.sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, source_queue_id)
    SELECT ${deadLetters}::bigint, now - n * interval '1 millisecond', 8e8 + n, 1, 0, now, ${queueId}::bigint
    FROM generate_series(1, 1500) n, (SELECT clock_timestamp() AS now) clock`;
  const task = await start(pair.deadLetters);
  const claim = await holdWith(
    broker.sql,
    `SELECT FROM slices WHERE queue_id = ${deadLetters} ORDER BY visible_at LIMIT 1 FOR UPDATE`,
  );
  expect(await step()).toBe("again");
  expect(await step()).toBeUndefined();
  expect(await find(pair.deadLetters, task.id)).toMatchObject({ status: "running", moved: 1_499 });
  await claim.letGo();
  await step();
  await step();
  expect(await find(pair.deadLetters, task.id)).toMatchObject({
    status: "completed",
    moved: 1_500,
  });
});

import { cleanUp, rotateEvents, type Trace } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bury, newPair } from "./dead-letters.ts";
import { one } from "./fifo.ts";
import { holdTable, until } from "./interleaving.ts";
import { connectTraced } from "./statements.ts";

const broker = await Broker.start();
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const { engine } = broker;
let topics = 0;

async function trace(messageId: string, of: Broker = broker): Promise<Trace> {
  return await of.engine.trace(ACCOUNT, messageId);
}

/** Each delivery as `how it came -> queue: state`. */
async function courseOf(messageId: string, of: Broker = broker): Promise<string[]> {
  const { deliveries } = await trace(messageId, of);
  return deliveries.map(
    ({ arrival, queue, state }) => `${arrival?.by ?? "?"} -> ${queue}: ${state}`,
  );
}

async function fannedOut(): Promise<void> {
  await broker.untilFannedOut();
}

async function redrive(queue: string): Promise<void> {
  const row = await engine.queues.find(ACCOUNT, queue);
  const { id } = await engine.redrives.start(row!, {});
  await until(async () => (await engine.redrives.find(row!, id))?.status === "completed");
}

async function newTopic(queues: readonly string[], fifo: boolean): Promise<string> {
  if (!fifo) return await broker.newTopic(queues);
  topics += 1;
  const name = `ordered-${topics}.fifo`;
  await engine.topics.create(ACCOUNT, { name, fifo });
  for (const queue of queues) await engine.subscribe(ACCOUNT, name, queue);
  return name;
}

describe.each([{ fifo: false }, { fifo: true }])(
  "with queues of fifo $fifo, a message",
  ({ fifo }) => {
    let bodies = 0;
    const content = () => {
      bodies += 1;
      return fifo ? one(`g${bodies % 3}`, `m${bodies}`) : `m${bodies}`;
    };
    const newQueue = (settings = {}) => broker.newQueue({ fifo, ...settings });

    test("that is sent waits, is in flight, and is acknowledged", async () => {
      const queue = await newQueue();
      const [, id = ""] = await client.send(queue, [content(), content(), content()]);
      const waiting = await trace(id);
      expect(waiting).toEqual({
        messageId: id,
        sentAt: expect.any(Date),
        state: "distributed",
        deliveries: [
          {
            queue,
            arrival: { by: "send", at: expect.any(Date) },
            state: "waiting",
            since: expect.any(Date),
            receiveCount: 0,
          },
        ],
        refusals: [],
        recordedSince: expect.any(Date),
        complete: true,
      });
      const messages = await client.receive(queue, { maxMessages: 10, visibilityTimeout: 60 });
      const [inFlight] = (await trace(id)).deliveries;
      expect(inFlight).toMatchObject({ state: "inFlight", receiveCount: 1 });
      expect(Number(inFlight?.visibleAt) - Number(inFlight?.since)).toBeCloseTo(60_000, -2);
      await client.acknowledge(
        queue,
        messages.filter(({ messageId }) => messageId === id),
      );
      expect(await courseOf(id)).toEqual([`send -> ${queue}: acknowledged`]);
      for (const { messageId } of messages)
        if (messageId !== id)
          expect(await courseOf(messageId)).toEqual([`send -> ${queue}: inFlight`]);
    });

    test("that is published goes its own way in each queue", async () => {
      const queues = [await newQueue(), await newQueue(), await newQueue()];
      const topic = await newTopic(queues, fifo);
      const [id = ""] = await client.publish(topic, [content()]);
      await fannedOut();
      const [a = "", b = "", c = ""] = queues;
      await client.acknowledge(a, await client.receive(a));
      await client.receive(b);
      const { topic: name, deliveries } = await trace(id);
      expect(name).toBe(topic);
      const { id: topicId } = (await engine.topics.find(ACCOUNT, topic))!;
      const subscriptions = await engine.subscriptions.list(ACCOUNT, topicId, {});
      expect(
        deliveries.map(({ queue, state, arrival }) => [queue, state, arrival?.subscription]).sort(),
      ).toEqual(
        [
          [a, "acknowledged"],
          [b, "inFlight"],
          [c, "waiting"],
        ].map(([queue, state]) => [
          queue,
          state,
          { id: subscriptions.items.find((of) => of.queue === queue)?.id, deleted: false },
        ]),
      );
    });

    test("is delayed, and cancelled or visible", async () => {
      const queue = await newQueue({ delay: 60 });
      const [id = "", other = ""] = await client.send(queue, [content(), content()]);
      expect((await trace(id)).deliveries).toMatchObject([{ state: "delayed", receiveCount: 0 }]);
      await engine.cancelDelayed(ACCOUNT, queue, id);
      expect(await courseOf(id)).toEqual([`send -> ${queue}: cancelled`]);
      await broker.clock.advance(61);
      expect(await courseOf(other)).toEqual([`send -> ${queue}: waiting`]);
    });

    test("whose receiver dies waits again, having been received", async () => {
      const queue = await newQueue({ visibilityTimeout: 30 });
      const [id = ""] = await client.send(queue, [content()]);
      await client.receive(queue);
      await broker.clock.advance(31);
      await client.send(queue, [content()]);
      expect((await trace(id)).deliveries).toMatchObject([{ state: "waiting", receiveCount: 1 }]);
    });

    test("that is given back is delayed as long as it is hidden", async () => {
      const queue = await newQueue();
      const [id = ""] = await client.send(queue, [content()]);
      await client.hide(queue, await client.receive(queue), 300);
      expect((await trace(id)).deliveries).toMatchObject([{ state: "inFlight", receiveCount: 1 }]);
      await broker.clock.advance(301);
      expect(await courseOf(id)).toEqual([`send -> ${queue}: waiting`]);
    });

    test("becomes a dead letter, is redriven, and acknowledged in the end", async () => {
      const pair = await newPair(broker, 1, { fifo });
      const { queue, deadLetters } = pair;
      const [id = ""] = await client.send(queue, [content()]);
      await client.hide(queue, await client.receive(queue), 0);
      await client.drain(queue);
      const reason = "received 1 time without being acknowledged";
      expect((await trace(id)).deliveries).toMatchObject([
        { queue, state: "deadLettered", to: deadLetters, reason },
        {
          queue: deadLetters,
          arrival: { by: "deadLetter", from: queue },
          state: "waiting",
          receiveCount: 0,
          reason,
        },
      ]);
      await redrive(deadLetters);
      expect(await courseOf(id)).toEqual([
        `send -> ${queue}: deadLettered`,
        `deadLetter -> ${deadLetters}: redriven`,
        `redrive -> ${queue}: waiting`,
      ]);
      await client.finish(queue);
      expect((await courseOf(id)).at(-1)).toBe(`redrive -> ${queue}: acknowledged`);
    });

    test("is told apart from its neighbours that are purged", async () => {
      const queue = await newQueue();
      const [id = "", done = ""] = await client.send(queue, [content(), content()]);
      const messages = await client.receive(queue, { maxMessages: 10 });
      await client.acknowledge(
        queue,
        messages.filter(({ messageId }) => messageId === done),
      );
      await engine.purge(ACCOUNT, queue);
      expect(await courseOf(id)).toEqual([`send -> ${queue}: purged`]);
      expect(await courseOf(done)).toEqual([`send -> ${queue}: acknowledged`]);
    });

    test("is expired from its time on, also before the clean-up has removed it", async () => {
      const queue = await newQueue({ retention: 60 });
      const [id = ""] = await client.send(queue, [content()]);
      await broker.clock.advance(61);
      expect(await courseOf(id)).toEqual([`send -> ${queue}: expired`]);
      await until(async () => (await cleanUp(broker.database.maintenance)) !== undefined);
      expect(await courseOf(id)).toEqual([`send -> ${queue}: expired`]);
      expect((await trace(id)).deliveries[0]).not.toHaveProperty("receiveCount");
    });

    test("that a filter refuses names the subscription", async () => {
      const [all, none] = [await newQueue(), await newQueue()];
      const topic = await newTopic([all], fifo);
      const filterPolicy = { kind: ["other"] };
      const { subscription } = await engine.subscribe(ACCOUNT, topic, none, { filterPolicy });
      const [id = ""] = await client.publish(topic, [content()]);
      await fannedOut();
      expect(await courseOf(id)).toEqual([`subscription -> ${all}: waiting`]);
      expect((await trace(id)).refusals).toEqual([
        { subscription: { id: subscription.id, deleted: false }, at: expect.any(Date) },
      ]);
      await engine.subscriptions.delete(ACCOUNT, subscription.id);
      expect((await trace(id)).refusals).toMatchObject([{ subscription: { deleted: true } }]);
    });

    test("that nobody subscribed to is known, and went nowhere", async () => {
      const topic = await newTopic([], fifo);
      const [id = ""] = await client.publish(topic, [content()]);
      await fannedOut();
      await broker.clock.advance(120);
      await until(async () => (await cleanUp(broker.database.maintenance)) !== undefined);
      expect(await trace(id)).toMatchObject({ topic, state: "distributed", deliveries: [] });
    });

    test("ends with its queue", async () => {
      const queue = await newQueue();
      const [id = ""] = await client.send(queue, [content()]);
      await engine.queues.delete(ACCOUNT, queue);
      expect((await trace(id)).deliveries).toMatchObject([
        { queue, state: "queueDeleted", since: expect.any(Date) },
      ]);
    });
  },
);

test.each([{ fifo: false }, { fifo: true }])(
  "a message that is replayed has a delivery for each time: fifo $fifo",
  async ({ fifo }) => {
    const queue = await broker.newQueue({ fifo });
    const topic = await newTopic([], fifo);
    await engine.topics.update(ACCOUNT, topic, { archive: { days: 1 } });
    const { subscription } = await engine.subscribe(ACCOUNT, topic, queue);
    const [id = ""] = await client.publish(topic, [fifo ? one("g", "m") : "m"]);
    await fannedOut();
    await client.finish(queue);
    const { id: replay } = await engine.replay(ACCOUNT, subscription.id, {
      from: { messageId: id },
    });
    await until(
      async () =>
        (await engine.replays.find({ id: subscription.id, account: ACCOUNT }, replay))?.status ===
        "completed",
    );
    expect(await courseOf(id)).toEqual([
      `subscription -> ${queue}: acknowledged`,
      `replay -> ${queue}: waiting`,
    ]);
    expect((await trace(id)).deliveries[1]?.arrival?.subscription?.id).toBe(subscription.id);
  },
);

test("dead letters of two queues in one dead-letter queue are two deliveries there", async () => {
  const { queue: first, deadLetters } = await newPair(broker);
  const redrivePolicy = { deadLetterQueue: deadLetters, maxReceiveCount: 1 };
  const second = await broker.newQueue({ visibilityTimeout: 60, redrive: redrivePolicy });
  const topic = await broker.newTopic([first, second]);
  const [id = ""] = await client.publish(topic, ["m"]);
  await fannedOut();
  for (const queue of [first, second]) {
    await client.hide(queue, await client.receive(queue), 0);
    await client.drain(queue);
  }
  await client.receive(deadLetters, { maxMessages: 1 });
  const states = (await courseOf(id)).slice(2).sort();
  expect(states).toEqual([
    `deadLetter -> ${deadLetters}: inFlight`,
    `deadLetter -> ${deadLetters}: waiting`,
  ]);
});

test("a message whose fan-out has not happened yet is published", async () => {
  await using alone = await Broker.start({ dispatchers: 0 });
  const topic = await alone.newTopic([await alone.newQueue()]);
  const [id = ""] = await alone.client().publish(topic, ["m"]);
  expect(await trace(id, alone)).toMatchObject({ topic, state: "published", deliveries: [] });
});

describe("nothing is known", () => {
  test("of the message of another account", async () => {
    const queue = await broker.newQueue();
    const [id = ""] = await client.send(queue, ["m"]);
    const expected = { code: "message_not_found", status: 404 };
    await expect(engine.trace("000000000001", id)).rejects.toMatchObject(expected);
    await client.finish(queue);
    await expect(engine.trace("000000000001", id)).rejects.toMatchObject(expected);
  });

  test("of ids that were made up, also of places that have a message", async () => {
    const [id = ""] = await client.send(await broker.newQueue(), ["m"]);
    const madeUp = `${id.slice(0, 9)}ffff${id.slice(13)}`;
    for (const absent of [madeUp, crypto.randomUUID(), "0198f7ae-0000-7000-8000-000000000001"])
      await expect(trace(absent)).rejects.toMatchObject({ code: "message_not_found" });
  });
});

describe("without a record", () => {
  test("where a message rests is told, and what is over is not", async () => {
    await using silent = await Broker.start({ traceHours: 0 });
    const { queue, deadLetters } = await newPair(silent);
    const ordered = await silent.newQueue({ fifo: true });
    const topic = await silent.newTopic([queue]);
    const [id = ""] = await silent.client().publish(topic, ["m"]);
    await silent.untilFannedOut();
    expect(await trace(id, silent)).toMatchObject({ recordedSince: null, complete: true });
    expect(await trace(id, silent)).not.toHaveProperty("topic");
    expect(await courseOf(id, silent)).toEqual([`? -> ${queue}: waiting`]);
    const [dead = ""] = await silent.client().send(queue, ["n"]);
    await bury(silent.client(), { queue, deadLetters }, ["o"]);
    expect(await courseOf(dead, silent)).toEqual([`? -> ${deadLetters}: waiting`]);
    await silent.client().finish(deadLetters);
    expect(await courseOf(dead, silent)).toEqual([]);
    const [first = "", second = ""] = await silent
      .client()
      .send(ordered, [one("a", "1"), one("a", "2")]);
    await silent.client().receive(ordered, { maxMessages: 1 });
    expect(await courseOf(first, silent)).toEqual([`? -> ${ordered}: inFlight`]);
    expect(await courseOf(second, silent)).toEqual([`? -> ${ordered}: waiting`]);
    expect(await silent.sql`SELECT FROM message_events`).toEqual([]);
  });

  test("a look that takes too long is given up, and said to be so", async () => {
    await using silent = await Broker.start({ dispatchers: 0, traceHours: 0 });
    const queue = await silent.newQueue();
    const [id = ""] = await silent.client().send(queue, ["m"]);
    const slices = await holdTable(silent.sql, "slices");
    const answers = Array.from({ length: 3 }, () => trace(id, silent));
    expect(await Promise.all(answers)).toMatchObject(
      answers.map(() => ({ complete: false, deliveries: [] })),
    );
    await slices.letGo();
    expect(await trace(id, silent)).toMatchObject({ complete: true, deliveries: [{ queue }] });
  });

  test("a message that came before one was kept is found where it is", async () => {
    await using late = await Broker.start({ traceHours: 0 });
    const [queue, other] = [await late.newQueue(), await late.newQueue()];
    const [id = "", done = ""] = await late.client().send(queue, ["m", "n"]);
    const recording = await Broker.join(late, { traceHours: 12 });
    await recording.send(other, ["the first on record"]);
    const messages = await recording.receive(queue, { maxMessages: 10 });
    await recording.acknowledge(
      queue,
      messages.filter(({ messageId }) => messageId === done),
    );
    const { deliveries, recordedSince } = await recording.engine.trace(ACCOUNT, id);
    expect(deliveries).toMatchObject([{ queue, state: "inFlight" }]);
    expect(recordedSince).toBeInstanceOf(Date);
    expect((await recording.engine.trace(ACCOUNT, done)).deliveries).toMatchObject([
      { queue, state: "acknowledged" },
    ]);
  });
});

test("more traces than the server takes on are refused, and those before them answered", async () => {
  await using busy = await Broker.start({ dispatchers: 0 });
  const [id = ""] = await busy.client().send(await busy.newQueue(), ["m"]);
  const outcomes = await Promise.allSettled(Array.from({ length: 110 }, () => trace(id, busy)));
  const answered = outcomes.filter(({ status }) => status === "fulfilled");
  expect(answered).toHaveLength(102);
  expect(outcomes.at(-1)).toMatchObject({ reason: { code: "too_many_requests", status: 429 } });
  expect(await trace(id, busy)).toMatchObject({ messageId: id });
});

test("traces of one account do not wait for all of those of another one", async () => {
  await using busy = await Broker.start({ engines: 0, dispatchers: 0 });
  const database = await connectTraced(busy.databaseUrl);
  await busy.startEngine(database);
  const [id = ""] = await busy.client().send(await busy.newQueue(), ["m"]);
  database.statements.length = 0;
  const many = Promise.allSettled(Array.from({ length: 110 }, () => trace(id, busy)));
  const other = "000000000001";
  await expect(busy.engine.trace(other, id)).rejects.toMatchObject({ code: "message_not_found" });
  const answered = (await many).filter(({ status }) => status === "fulfilled");
  expect(answered).toHaveLength(102);
  // In the order in which they had their turns, however long each took.
  const turns = database.statements.filter(({ text }) => text.includes("split_part(b.payload"));
  expect(turns).toHaveLength(103);
  const before = turns.findIndex(({ parameters }) => parameters.includes(other));
  expect(before).toBeGreaterThan(0);
  expect(before).toBeLessThan(20);
});

describe("the record", () => {
  const HOUR = 3_600;

  test("goes back as long as it is told to, and is emptied slot by slot", async () => {
    await using rotating = await Broker.start({ dispatchers: 0, traceHours: 5 });
    const { sql } = rotating;
    const queue = await rotating.newQueue();
    const sent: string[] = [];
    for (let hour = 0; hour < 16; hour += 1) {
      const [id = ""] = await rotating.client().send(queue, ["m"]);
      await rotating.client().finish(queue);
      sent.push(id);
      await cleanUp(rotating.database.maintenance);
      await rotateEvents(sql, 5);
      for (const [age, known] of sent.toReversed().slice(0, 5).entries())
        expect([age, await courseOf(known, rotating)]).toEqual([
          age,
          [`send -> ${queue}: acknowledged`],
        ]);
      await rotating.clock.advance(HOUR);
    }
    // The payload of the last one is still there, a minute long.
    await cleanUp(rotating.database.maintenance);
    for (const [index, old] of sent.slice(0, -5).entries())
      await expect(trace(old, rotating), String(index)).rejects.toMatchObject({
        code: "message_not_found",
      });
    const [oldest] = await sql<{ hours: number }[]>`
      SELECT extract(epoch FROM clock_timestamp() - min(at))::float8 / 3600 AS hours FROM message_events`;
    expect(oldest?.hours).toBeLessThanOrEqual(5 + 4 + 1);
    await rotateEvents(sql, 0);
    expect(await sql`SELECT FROM message_events`).toEqual([]);
  });

  test("has rows that stay in one piece, however many queues a message goes to", async () => {
    await using wide = await Broker.start();
    const queues: string[] = [];
    for (let count = 0; count < 70; count += 1) queues.push(await wide.newQueue());
    const [id = ""] = await wide.client().publish(await wide.newTopic(queues), ["m"]);
    await wide.untilFannedOut();
    const rows = await wide.sql<{ events: number; bytes: number }[]>`
      SELECT cardinality(batch_offsets) AS events, pg_column_size(e.*) AS bytes FROM message_events e ORDER BY 1`;
    expect(rows.map(({ events }) => events)).toEqual([6, 32, 32]);
    expect(Math.max(...rows.map(({ bytes }) => bytes))).toBeLessThan(2_000);
    const { deliveries } = await trace(id, wide);
    expect(deliveries.map(({ queue }) => queue).sort()).toEqual(queues.sort());
  });

  test("takes less than 60 bytes for a message that comes by itself and is acknowledged with others", async () => {
    await using busy = await Broker.start({ dispatchers: 0 });
    const queues: string[] = [];
    for (let count = 0; count < 50; count += 1) queues.push(await busy.newQueue());
    // By turns, so that the messages of a queue lie far apart.
    for (let turn = 0; turn < 40; turn += 1)
      await Promise.all(queues.map((queue) => busy.client().send(queue, ["m"])));
    for (const queue of queues)
      await busy
        .client()
        .acknowledge(queue, await busy.client().receive(queue, { maxMessages: 1_000 }));
    const [record] = await busy.sql<{ bytes: number; events: number; batches: number }[]>`
      SELECT sum(cardinality(batch_offsets))::int AS events, (SELECT count(*)::int FROM batches) AS batches,
             (SELECT sum(pg_relation_size(oid))::int FROM pg_class WHERE relname ~ '^message_events_[0-9]+(_block_idx)?$') AS bytes
      FROM message_events`;
    expect(record).toMatchObject({ events: 4_000, batches: 2_000 });
    // Of the 14 slots and as many indexes each has a page, or none.
    expect((record!.bytes - 16 * 8_192) / 2_000).toBeLessThan(60);
  });

  test("that an older version has written is told, and is not taken for that of other batches", async () => {
    const queue = await broker.newQueue();
    const [id = ""] = await client.send(queue, ["m"]);
    const batch = BigInt(`0x${id.slice(-12)}`);
    await broker.sql`
      INSERT INTO message_events (account, block, kind, batch_ids, queue_ids, masks)
      VALUES (${ACCOUNT}::bigint, ${String(batch >> 6n)}::bigint, 'acknowledged', ARRAY[${String(batch + 1n)}, ${String(batch)}]::bigint[],
              ARRAY[1, ${await broker.idOf(queue)}]::bigint[], ARRAY[1, 1])`;
    await broker.sql`
      INSERT INTO message_events (account, block, kind, batch_offsets, queue_ids)
      VALUES (${ACCOUNT}::bigint, ${String(batch >> 6n)}::bigint, 'purged', ARRAY[${String(batch & 1023n)}]::smallint[],
              ARRAY[1]::bigint[])`;
    expect(await courseOf(id)).toEqual([`send -> ${queue}: acknowledged`]);
  });

  test("is not waited for by a write, nor emptied while a trace reads it", async () => {
    await using read = await Broker.start({ dispatchers: 0, traceHours: 1 });
    const queue = await read.newQueue();
    await read.client().send(queue, ["m"]);
    await read.clock.advance(12 * HOUR);
    await read.sql.begin(async (tx) => {
      await tx`SELECT FROM message_events`;
      expect(await rotateEvents(read.engine.database.sql, 1)).toBe(0);
      await read.client().send(queue, ["n"]);
    });
    expect(await rotateEvents(read.sql, 1)).toBe(1);
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { ACCOUNT, Broker, loneliness } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { confusion } from "./confused-bus.ts";
import { holdTable, holdWith, untilBlocked } from "./interleaving.ts";
import type { Content } from "./content.ts";
import {
  byGroup,
  endFanOuts,
  finishAll,
  finishInOrder,
  grouped,
  newFifoTopic,
  one,
} from "./fifo.ts";

let names = 0;

async function publish(broker: Broker, topic: string, contents: readonly Content[], by = 0) {
  const results = await broker.engines[by]!.publisher.publish(ACCOUNT, topic, contents as never);
  return results.map((result) => {
    if ("error" in result) throw new Error(result.error.message);
    return `${result.messageId} ${result.sequenceNumber}`;
  });
}

describe("a publish to a FIFO topic", () => {
  test("reaches FIFO queues in order, and standard queues with its group", async () => {
    await using broker = await Broker.start({ dispatchers: 2 });
    const queues = [await broker.newQueue({ fifo: true }), await broker.newQueue({ fifo: true })];
    const standard = await broker.newQueue();
    const topic = await newFifoTopic(broker, [...queues, standard]);
    const answers = await publish(broker, topic, [...grouped("a", 80), ...grouped("b", 30)]);
    expect(answers).toEqual([...answers].sort((x, y) => (x.slice(-20) < y.slice(-20) ? -1 : 1)));
    await broker.untilFannedOut();
    for (const queue of queues) {
      const messages = await broker.client().drain(queue);
      const bodies = (contents: Content[]) =>
        contents.map((each) => (each as { body: string }).body);
      expect(byGroup(messages)).toEqual({
        a: bodies(grouped("a", 80)),
        b: bodies(grouped("b", 30)),
      });
      expect(await broker.counts(queue)).toMatchObject({ inFlight: 110 });
    }
    const spread = await broker.client().drain(standard);
    expect(spread).toHaveLength(110);
    expect(new Set(spread.map(({ groupId }) => groupId))).toEqual(new Set(["a", "b"]));
  });

  test("that is fanned out late is no duplicate of what was sent ten minutes after it", async () => {
    await using broker = await Broker.start();
    const queue = await broker.newQueue({ fifo: true });
    const topic = await newFifoTopic(broker, [queue]);
    const [{ id }] = (await broker.sql`
      SELECT id FROM topics WHERE account = ${ACCOUNT}::bigint AND name = ${topic}`) as [
      { id: string },
    ];
    const held = await holdWith(
      broker.sql,
      `SELECT pg_advisory_xact_lock(576460752303423488 + ${BigInt(id)})`,
    );
    await publish(broker, topic, [{ body: "published", groupId: "a", deduplicationId: "d" }]);
    await broker.clock.advance(600);
    await broker.client().send(queue, [{ body: "sent", groupId: "a", deduplicationId: "d" }]);
    await held.letGo();
    await broker.untilFannedOut();
    // What was sent last counts.
    await broker.client().send(queue, [one("a", "d")]);
    expect(await finishInOrder(broker.client(), queue)).toEqual(["sent", "published"]);
  });

  test("that repeats an id ten minutes later is delivered as well, also where both were fanned out late", async () => {
    await using broker = await Broker.start({ dispatchers: 0 });
    const queue = await broker.newQueue({ fifo: true });
    const topic = await newFifoTopic(broker, [queue]);
    const tick = (body: string) => [{ body, groupId: "a", deduplicationId: "d" }];
    await publish(broker, topic, tick("first"));
    await broker.clock.advance(600);
    await publish(broker, topic, tick("second"));
    await publish(broker, topic, [one("a", "other")]);
    await broker.clock.advance(300);
    await publish(broker, topic, tick("third"));
    await broker.startDispatcher();
    await broker.untilFannedOut();
    expect(await finishInOrder(broker.client(), queue)).toEqual([
      "first",
      "second",
      "other",
      "third",
    ]);
  });

  test("that repeats an id is answered with the first and not delivered again, by any process", async () => {
    await using broker = await Broker.start({ engines: 2 });
    const queue = await broker.newQueue({ fifo: true });
    const topic = await newFifoTopic(broker, [queue]);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        publish(broker, topic, [one("a", "d"), one("a", `n${index}`)], index % 2),
      ),
    );
    expect(new Set(answers.map(([first]) => first)).size).toBe(1);
    await broker.untilFannedOut();
    const bodies = await finishInOrder(broker.client(), queue, 100);
    expect(bodies.filter((body) => body === "d")).toEqual(["d"]);
    expect(bodies).toHaveLength(21);
    await broker.clock.advance(301);
    expect(await publish(broker, topic, [one("a", "d")])).not.toEqual([answers[0]?.[0]]);
    await broker.untilFannedOut();
    expect(await finishInOrder(broker.client(), queue)).toEqual(["d"]);
  });

  test("counts ids in each group for itself with the scope of a message group", async () => {
    await using broker = await Broker.start();
    const queue = await broker.newQueue({ fifo: true, deduplicationScope: "messageGroup" });
    const topic = await newFifoTopic(broker, [queue], { fifoThroughputScope: "messageGroup" });
    const ids = await publish(broker, topic, [one("a", "d"), one("b", "d"), one("a", "d")]);
    expect(ids[1]).not.toBe(ids[0]);
    expect(ids[2]).toBe(ids[0]);
    await broker.untilFannedOut();
    expect(await finishInOrder(broker.client(), queue)).toEqual(["d", "d"]);
  });

  test("needs a group, and an id unless the topic makes one of the body", async () => {
    await using broker = await Broker.start();
    const strict = await newFifoTopic(broker, []);
    const lenient = await newFifoTopic(broker, [], { contentBasedDeduplication: true });
    const { publisher } = broker.engine;
    const refused = { error: { code: "invalid_message" } };
    const message = { body: "m", groupId: "a" };
    expect(await publisher.publish(ACCOUNT, strict, [message])).toMatchObject([refused]);
    expect(await publisher.publish(ACCOUNT, strict, [{ body: "m" }])).toMatchObject([refused]);
    const [first, second] = await publisher.publish(ACCOUNT, lenient, [message, message]);
    expect(first).toMatchObject({ sequenceNumber: expect.any(String) });
    expect(second).toEqual(first);
  });

  test("with an Idempotency-Key is answered the same again", async () => {
    await using broker = await Broker.start({ engines: 2 });
    const topic = await newFifoTopic(broker, []);
    const contents = [one("a", "1"), one("a", "2")] as never;
    const options = { idempotencyKey: "key" };
    const [first, second] = broker.engines;
    const answer = await first!.publisher.publish(ACCOUNT, topic, contents, options);
    expect(await second!.publisher.publish(ACCOUNT, topic, contents, options)).toEqual(answer);
  });
});

test("filters count for FIFO and for standard queues of a FIFO topic", async () => {
  await using broker = await Broker.start();
  const [all, fifo, standard] = [
    await broker.newQueue({ fifo: true }),
    await broker.newQueue({ fifo: true }),
    await broker.newQueue(),
  ];
  const topic = await newFifoTopic(broker, [all]);
  const filterPolicy = { kind: ["odd"] };
  for (const queue of [fifo, standard])
    await broker.engine.subscribe(ACCOUNT, topic, queue, { filterPolicy });
  const contents = Array.from({ length: 70 }, (_, index) => ({
    ...(one("a", `m${index}`) as { body: string }),
    attributes: { kind: { type: "String", value: index % 2 === 1 ? "odd" : "even" } },
  }));
  await publish(broker, topic, contents);
  await broker.untilFannedOut();
  const bodies = contents.map(({ body }) => body);
  const odd = bodies.filter((_, index) => index % 2 === 1);
  expect(await finishInOrder(broker.client(), all)).toEqual(bodies);
  expect(await finishInOrder(broker.client(), fifo)).toEqual(odd);
  expect(bodiesOf(await broker.client().drain(standard))).toEqual(odd);
});

test("filters of a FIFO topic count whatever ids they have", async () => {
  await using broker = await Broker.start();
  // The one before has a digit less, so as a text it comes after.
  await broker.sql`SELECT setval(pg_get_serial_sequence('filter_policies', 'id'), 999_998)`;
  const topic = await newFifoTopic(broker, []);
  const queues = [await broker.newQueue({ fifo: true }), await broker.newQueue()];
  for (const [at, queue] of queues.entries())
    await broker.engine.subscribe(ACCOUNT, topic, queue, { filterPolicy: { of: [`${at}`] } });
  const contents = queues.map((_, at) => ({
    ...(one("a", `m${at}`) as { body: string }),
    attributes: { of: { type: "String", value: `${at}` } },
  }));
  await publish(broker, topic, contents);
  await broker.untilFannedOut();
  for (const [at, queue] of queues.entries())
    expect(bodiesOf(await broker.client().drain(queue))).toEqual([`m${at}`]);
});

test("what waits of a FIFO topic with many queues, standard ones too, goes a bounded number of deliveries at a time", async () => {
  await using broker = await Broker.start({ dispatchers: 0 });
  const fifo = await broker.newQueue({ fifo: true });
  const topic = await newFifoTopic(broker, [fifo]);
  for (let count = 0; count < 24; count += 1)
    await broker.engine.subscribe(ACCOUNT, topic, await broker.newQueue());
  for (let from = 0; from < 400; from += 50) await publish(broker, topic, grouped("a", 50, from));
  // Each transaction adds a line.
  await broker.sql.unsafe(`
    CREATE TABLE taken (messages int);
    CREATE FUNCTION note_taken() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO public.taken SELECT sum(message_count) FROM gone; RETURN NULL; END $$;
    CREATE TRIGGER note_taken AFTER DELETE ON outbox REFERENCING OLD TABLE AS gone
      FOR EACH STATEMENT EXECUTE FUNCTION note_taken()`);
  await broker.startDispatcher();
  await broker.untilFannedOut();
  const taken = await broker.sql<
    { messages: number }[]
  >`SELECT messages FROM taken WHERE messages > 0`;
  expect(taken.map(({ messages }) => messages)).toEqual([200, 200]);
  expect(await finishInOrder(broker.client(), fifo)).toEqual(bodiesOf(grouped("a", 400) as never));
});

test("the sweeper looks again soon after a look that met a standstill", async () => {
  await using broker = await Broker.start({ connectBus: loneliness() });
  const topic = await newFifoTopic(broker, [await broker.newQueue({ fifo: true })]);
  await publish(broker, topic, [one("a", "before")]);
  await broker.untilFannedOut();
  const held = await holdTable(broker.sql, "outbox");
  // Looks come every second: that of FIFO topics has waited for nearly two by then, whichever came first.
  await untilBlocked(broker.sql, 1, 3);
  await held.letGo();
  await publish(broker, topic, [one("a", "after")]);
  await broker.untilFannedOut();
});

test("the sweeper looks again soon after looks that failed one after the other, however long they took", async () => {
  await using broker = await Broker.start({ connectBus: loneliness(), cutsConnections: true });
  const topic = await newFifoTopic(broker, [await broker.newQueue({ fifo: true })]);
  await publish(broker, topic, [one("a", "before")]);
  await broker.untilFannedOut();
  const held = await holdTable(broker.sql, "outbox");
  for (let looks = 0; looks < 2; looks += 1) {
    await untilBlocked(broker.sql, 1, 4);
    // As in an outage without a word, when the process gives up the connections.
    await broker.sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'`;
  }
  await held.letGo();
  await publish(broker, topic, [one("a", "after")]);
  await broker.untilFannedOut();
});

test("a standard topic takes no FIFO queue", async () => {
  await using broker = await Broker.start();
  const queue = await broker.newQueue({ fifo: true });
  const topic = await broker.newTopic();
  await expect(broker.engine.subscribe(ACCOUNT, topic, queue)).rejects.toMatchObject({
    code: "invalid_request",
    details: [{ path: "queue" }],
  });
});

/** Every other one is odd. */
function numberedMessage(groupId: string) {
  names += 1;
  const body = `m${names}`;
  const kind = { type: "String", value: names % 2 === 1 ? "odd" : "even" } as const;
  return { body, groupId, deduplicationId: body, attributes: { kind } };
}

type Published = ReturnType<typeof numberedMessage> & { sequence: string };

const groupId = fc.constantFrom("a", "b", "c");
const round = fc.record({
  publishes: fc.array(
    fc.record({
      by: fc.nat({ max: 1 }),
      groups: fc.array(groupId, { minLength: 1, maxLength: 12 }),
    }),
    { minLength: 1, maxLength: 8 },
  ),
  /** Ends whatever a dispatcher is at, at any point of it. */
  crash: fc.boolean(),
});
const seed = Number(process.env["TEST_SEED"] ?? Date.now() % 2 ** 31);

test.each([
  ["announcements", undefined],
  ["the sweeper alone", loneliness()],
  ["dropped, doubled and reordered announcements", confusion()],
])(
  `by %s, with dispatchers that die, each queue gets what its filter accepts, once and in order (seed ${seed})`,
  { timeout: 120_000 },
  async (_, connectBus) => {
    await using broker = await Broker.start({
      engines: 2,
      dispatchers: 2,
      cutsConnections: true,
      ...(connectBus && { connectBus }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 4 }), async (rounds) => {
        const queue = await broker.newQueue({ fifo: true });
        const odd = await broker.newQueue({ fifo: true });
        const standard = await broker.newQueue();
        const topic = await newFifoTopic(broker, [queue]);
        const filterPolicy = { kind: ["odd"] };
        for (const filtered of [odd, standard])
          await broker.engine.subscribe(ACCOUNT, topic, filtered, { filterPolicy });
        const published: Published[] = [];
        for (const { publishes, crash } of rounds) {
          const calls = publishes.map(async ({ by, groups }) => {
            const contents = groups.map((groupId) => numberedMessage(groupId));
            const answers = await publish(broker, topic, contents, by);
            answers.forEach((answer, index) => {
              published.push({ sequence: answer.slice(-20), ...contents[index]! });
            });
          });
          if (crash) await endFanOuts(broker);
          await Promise.all(calls);
          if (crash) await endFanOuts(broker);
        }
        await broker.clock.advance(1);
        await broker.untilFannedOut();
        published.sort((x, y) => (x.sequence < y.sequence ? -1 : 1));
        const accepted = published.filter(({ attributes }) => attributes.kind.value === "odd");
        const client = broker.client();
        expect(byGroup(await finishAll(client, queue, published.length))).toEqual(
          byGroup(published),
        );
        expect(byGroup(await finishAll(client, odd, accepted.length))).toEqual(byGroup(accepted));
        expect(bodiesOf(await finishAll(client, standard, accepted.length)).sort()).toEqual(
          accepted.map(({ body }) => body).sort(),
        );
      }),
      { seed, numRuns: Number(process.env["TEST_RUNS"] ?? 4), endOnFailure: true },
    );
  },
);

test("a dispatcher, whose other commits a crash may take back, flushes what it fans out of a FIFO topic", async () => {
  await using broker = await Broker.start();
  const topic = await newFifoTopic(broker, [await broker.newQueue({ fifo: true })]);
  await broker.sql.unsafe(`
    CREATE TABLE commits (synchronous text);
    CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO public.commits VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
    CREATE TRIGGER note_commit AFTER DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION note_commit()`);
  await publish(broker, topic, [one("g", "m")]);
  await broker.untilFannedOut();
  expect([...(await broker.sql`SELECT synchronous FROM commits`)]).toEqual([{ synchronous: "on" }]);
});

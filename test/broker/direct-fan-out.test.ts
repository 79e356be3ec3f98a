import { setImmediate } from "node:timers/promises";

import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { holdTable, refuseSlices, until, untilBlocked } from "./interleaving.ts";

/** Two API processes, and nobody else: what arrives was fanned out by the publish. */
const broker = await Broker.start({ engines: 2, dispatchers: 0, directQueues: 3 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

const newQueues = async (count: number) =>
  Promise.all(Array.from({ length: count }, () => broker.newQueue()));
const visibleIn = async (queues: readonly string[]) =>
  Promise.all(queues.map(async (queue) => (await broker.counts(queue)).visible));

describe("a publish to a topic of few queues without filters", () => {
  test("is in each of them when it is answered", async () => {
    const queues = await newQueues(3);
    const topic = await broker.newTopic(queues);
    const ids = await client.publish(topic, numbered(200));
    expect(await broker.waitingBatches()).toEqual([]);
    for (const queue of queues) {
      const messages = await client.drain(queue);
      expect(bodiesOf(messages)).toEqual(numbered(200));
      expect(messages.map((message) => message.messageId)).toEqual(ids);
    }
  });

  test.each([0, 1])("wakes who waits at process %i", async (process) => {
    const [queue = ""] = await newQueues(1);
    const topic = await broker.newTopic([queue]);
    const waiting = broker.client(process).receive(queue, { wait: 20 });
    await client.publish(topic, ["m"]);
    expect(bodiesOf(await waiting)).toEqual(["m"]);
  });

  test("keeps delays, groups, notifications and the dead letters of deleted queues", async () => {
    const [grouped = "", deleted = "", letters = ""] = await newQueues(3);
    const late = await broker.newQueue({ delay: 60 });
    const topic = await broker.newTopic([late]);
    await broker.engine.subscribe(ACCOUNT, topic, grouped, { rawDelivery: false });
    await broker.engine.subscribe(ACCOUNT, topic, deleted, {
      redrivePolicy: { deadLetterQueue: letters },
    });
    await broker.engine.queues.delete(ACCOUNT, deleted);
    await client.publish(topic, [
      { body: "a", groupId: "one" },
      { body: "b", groupId: "two" },
    ]);
    expect(await broker.counts(late)).toEqual({ visible: 0, inFlight: 0, delayed: 2 });
    const notified = await client.drain(grouped);
    expect(notified.map(({ groupId }) => groupId).sort()).toEqual(["one", "two"]);
    for (const { body } of notified)
      expect(JSON.parse(body)).toMatchObject({ Type: "Notification" });
    expect(bodiesOf(await client.drain(letters)).sort()).toEqual(["a", "b"]);
    await broker.clock.advance(60);
    expect(bodiesOf(await client.drain(late)).sort()).toEqual(["a", "b"]);
  });

  test("tells its trace and its counters what became of it", async () => {
    const queues = await newQueues(2);
    const topic = await broker.newTopic(queues);
    const { batches, deliveries } = broker.counted;
    const [id = ""] = await client.publish(topic, ["m"]);
    expect(broker.counted).toMatchObject({ batches: batches + 1, deliveries: deliveries + 2 });
    const trace = await broker.engine.trace(ACCOUNT, id);
    expect(trace.deliveries.map(({ queue, state }) => [queue, state]).sort()).toEqual(
      queues.map((queue) => [queue, "waiting"]).sort(),
    );
  });

  test("that fails for one queue is refused, and in none", async () => {
    await using frail = await Broker.start({ dispatchers: 0, directQueues: 3 });
    const [good, bad] = [await frail.newQueue(), await frail.newQueue()];
    const topic = await frail.newTopic([good, bad]);
    const refusal = await refuseSlices(frail.sql, await frail.idOf(bad));
    await expect(frail.client().publish(topic, ["m"])).rejects.toThrow("refused");
    expect(await frail.sql`SELECT FROM batches`).toEqual([]);
    await refusal.end();
    await frail.client().publish(topic, ["again"]);
    for (const queue of [good, bad])
      expect(bodiesOf(await frail.client().drain(queue))).toEqual(["again"]);
  });

  test("whose process loses its connection before the commit left nothing, and its repeat is stored once", async () => {
    await using frail = await Broker.start({
      dispatchers: 0,
      directQueues: 3,
      cutsConnections: true,
    });
    const queue = await frail.newQueue();
    const topic = await frail.newTopic([queue]);
    const table = await holdTable(frail.sql, "slices");
    const publishing = frail.client().publish(topic, ["m"], "key");
    let isRefused = false;
    const refused = expect(publishing)
      .rejects.toThrow()
      .finally(() => (isRefused = true));
    // Wherever it waits: it gives up the lock on the first connection soon, and then asks on another one.
    await until(async () => {
      await frail.sql`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      return isRefused;
    });
    await refused;
    await table.letGo();
    expect(await frail.counts(queue)).toMatchObject({ visible: 0 });
    const ids = await frail.client().publish(topic, ["m"], "key");
    expect(await frail.client().publish(topic, ["m"], "key")).toEqual(ids);
    expect(bodiesOf(await frail.client().drain(queue))).toEqual(["m"]);
  });
});

describe("a publish is left to a dispatcher", () => {
  test("where a subscription has a filter, also while a publish to another topic shares the statement", async () => {
    await using mixed = await Broker.start({ dispatchers: 0, directQueues: 3 });
    const [plain, filtered] = [await mixed.newQueue(), await mixed.newQueue()];
    const [open, picky] = [await mixed.newTopic([plain]), await mixed.newTopic([plain])];
    await mixed.engine.subscribe(ACCOUNT, picky, filtered, {
      filterPolicy: { kind: ["wanted"] },
    });
    const wanted = { body: "wanted", attributes: { kind: { type: "String", value: "wanted" } } };
    await Promise.all([
      mixed.client().publish(open, ["direct"]),
      mixed.client().publish(picky, [wanted, "unwanted"]),
    ]);
    expect(bodiesOf(await mixed.client().drain(plain))).toEqual(["direct"]);
    expect(await mixed.waitingBatches()).toHaveLength(1);
    await mixed.clock.advance(1);
    await mixed.startDispatcher();
    expect(bodiesOf(await mixed.client().receive(filtered, { maxMessages: 9, wait: 20 }))).toEqual([
      "wanted",
    ]);
    expect(bodiesOf(await mixed.client().drain(plain)).sort()).toEqual(["unwanted", "wanted"]);
  });

  test("where all calls that share its statement have more slices than that is to write", async () => {
    await using busy = await Broker.start({ dispatchers: 0, directQueues: 16 });
    const queues = await Promise.all(Array.from({ length: 16 }, () => busy.newQueue()));
    const topic = await busy.newTopic(queues);
    const thousand = Array.from({ length: 1_000 }, (_, n) => ({ body: "m", groupId: `g${n}` }));
    const table = await holdTable(busy.sql, "slices");
    const first = busy.client().publish(topic, ["first"]);
    await untilBlocked(busy.sql);
    const others = Array.from({ length: 3 }, () => busy.client().publish(topic, thousand));
    await setImmediate();
    await table.letGo();
    await Promise.all([first, ...others]);
    expect(await busy.waitingBatches()).toHaveLength(48);
    await busy.client().publish(topic, thousand);
    expect(await busy.waitingBatches()).toHaveLength(48);
    expect(await busy.counts(queues[0] ?? "")).toMatchObject({ visible: 1_001 });
  });

  test("where the topic has an archive, so that a replay misses nothing", async () => {
    const before = await broker.waitingBatches();
    const [queue = ""] = await newQueues(1);
    await broker.engine.topics.create(ACCOUNT, { name: "archived", archive: { days: 1 } });
    await broker.engine.subscribe(ACCOUNT, "archived", queue);
    await client.publish("archived", ["m"]);
    expect(await broker.waitingBatches()).toHaveLength(before.length + 1);
  });

  test.each([0, 4])("where a topic has %i subscriptions", async (count) => {
    const before = await broker.waitingBatches();
    const queues = await newQueues(count);
    const topic = await broker.newTopic(queues);
    await client.publish(topic, ["m"]);
    expect(await broker.waitingBatches()).toHaveLength(before.length + 1);
    expect(await visibleIn(queues)).toEqual(queues.map(() => 0));
  });
});

test(
  "whatever subscriptions come and go between publishes, each queue gets what was published while it was subscribed",
  { timeout: 120_000 },
  async () => {
    await using changing = await Broker.start({ engines: 2, dispatchers: 1, directQueues: 2 });
    const queues = await Promise.all(Array.from({ length: 4 }, () => changing.newQueue()));
    const step = fc.record({
      toggled: fc.nat({ max: 3 }),
      published: fc.nat({ max: 3 }),
      process: fc.nat({ max: 1 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const topic = await changing.newTopic();
        const subscribed = new Map<string, string>();
        const expected = new Map<string, string[]>(queues.map((queue) => [queue, []]));
        for (const [index, { toggled, published, process }] of steps.entries()) {
          const queue = queues[toggled] ?? "";
          const known = subscribed.get(queue);
          if (known === undefined) {
            const { subscription } = await changing.engine.subscribe(ACCOUNT, topic, queue);
            subscribed.set(queue, subscription.id);
          } else {
            await changing.untilFannedOut();
            await changing.engine.subscriptions.delete(ACCOUNT, known);
            subscribed.delete(queue);
          }
          const bodies = numbered(published).map((body) => `${index}/${body}`);
          if (bodies.length > 0) await changing.client(process).publish(topic, bodies);
          // What waits for a dispatcher goes to who is subscribed then.
          await changing.untilFannedOut();
          for (const name of subscribed.keys()) expected.get(name)?.push(...bodies);
        }
        for (const queue of queues) {
          const bodies = await changing.client().finish(queue);
          expect(bodies.sort()).toEqual(expected.get(queue)?.sort());
        }
      }),
      { numRuns: 40 },
    );
  },
);

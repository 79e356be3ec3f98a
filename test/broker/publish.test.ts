import { afterAll, describe, expect, test, vi } from "vitest";

import { ACCOUNT, Broker, loneliness } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { holdTable, refuseSlices, until, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ dispatchers: 2 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

test("an acknowledged publish reaches each subscribed queue exactly once", async () => {
  const queues = [await broker.newQueue(), await broker.newQueue(), await broker.newQueue()];
  const topic = await broker.newTopic(queues);
  const bodies = numbered(200);
  const ids = await client.publish(topic, bodies);
  await broker.untilFannedOut();
  for (const queue of queues) {
    const messages = await client.drain(queue);
    expect(bodiesOf(messages)).toEqual(bodies);
    expect(messages.map((message) => message.messageId)).toEqual(ids);
  }
});

test("a publish carries subject, attributes and group to every queue", async () => {
  const queue = await broker.newQueue();
  const topic = await broker.newTopic([queue]);
  const message = {
    body: "b",
    subject: "s",
    groupId: "g",
    attributes: { a: { type: "Number", value: "1" } },
  };
  await client.publish(topic, [message]);
  await broker.untilFannedOut();
  expect(await client.receive(queue)).toMatchObject([message]);
});

test("a publish to a topic without subscriptions is accepted and rests nowhere", async () => {
  const topic = await broker.newTopic();
  const before = await allSlices();
  await client.publish(topic, ["m"]);
  await broker.untilFannedOut();
  expect(await allSlices()).toBe(before);
});

test("a publish to a topic that is not there is refused, and stores nothing", async () => {
  const before = await allBatches();
  await expect(client.publish("nowhere", ["m"])).rejects.toMatchObject({ code: "topic_not_found" });
  expect(await allBatches()).toBe(before);
});

test("a subscription counts for what is published after it, not for what was fanned out before", async () => {
  const [early, late] = [await broker.newQueue(), await broker.newQueue()];
  const topic = await broker.newTopic([early]);
  await client.publish(topic, ["one"]);
  await broker.untilFannedOut();
  await broker.engine.subscribe(ACCOUNT, topic, late);
  await client.publish(topic, ["two"]);
  await broker.untilFannedOut();
  expect(bodiesOf(await client.drain(early))).toEqual(["one", "two"]);
  expect(bodiesOf(await client.drain(late))).toEqual(["two"]);
});

test("a subscription that was ended gets nothing more, and keeps what it has", async () => {
  const queue = await broker.newQueue();
  const topic = await broker.newTopic();
  const { subscription } = await broker.engine.subscribe(ACCOUNT, topic, queue);
  await client.publish(topic, ["kept"]);
  await broker.untilFannedOut();
  await broker.engine.subscriptions.delete(ACCOUNT, subscription.id);
  await client.publish(topic, ["missed"]);
  await broker.untilFannedOut();
  expect(bodiesOf(await client.drain(queue))).toEqual(["kept"]);
});

test("the queue's delay begins at the fan-out", async () => {
  const queue = await broker.newQueue({ delay: 60 });
  const topic = await broker.newTopic([queue]);
  await client.publish(topic, ["m"]);
  await broker.untilFannedOut();
  expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 1 });
  await broker.clock.advance(60);
  expect(bodiesOf(await client.receive(queue))).toEqual(["m"]);
});

test("a publish is not answered before its commit", async () => {
  const topic = await broker.newTopic();
  await client.publish(topic, ["warm"]);
  const table = await holdTable(broker.sql, "topics");
  let answered = false;
  const publishing = client.publish(topic, ["m"]).then(() => (answered = true));
  await untilBlocked(broker.sql);
  expect(answered).toBe(false);
  await table.letGo();
  await publishing;
});

test("publishes that arrive together become few batches, each message once in each queue", async () => {
  const queue = await broker.newQueue();
  const topic = await broker.newTopic([queue]);
  const before = await allBatches();
  await Promise.all(numbered(300).map((body) => client.publish(topic, [body])));
  await broker.untilFannedOut();
  expect((await allBatches()) - before).toBeLessThanOrEqual(10);
  const bodies = bodiesOf(await client.drain(queue));
  expect(bodies.sort()).toEqual(numbered(300).sort());
});

describe("announcements", () => {
  test("a batch announced again and again is fanned out once", async () => {
    const queue = await broker.newQueue();
    const topic = await broker.newTopic([queue]);
    const bodies = numbered(63);
    for (let round = 0; round < 20; round += 1) {
      const publishing = client.publish(
        topic,
        bodies.map((body) => `${body}/${round}`),
      );
      for (let repeat = 0; repeat < 10; repeat += 1) {
        broker.engine.bus.announceBatches(await broker.waitingBatches());
      }
      await publishing;
    }
    const rows = await broker.sql<{ id: string }[]>`SELECT id FROM batches`;
    for (let repeat = 0; repeat < 4; repeat += 1) {
      broker.engine.bus.announceBatches(rows.map((row) => row.id));
    }
    await broker.untilFannedOut();
    const received = bodiesOf(await client.drain(queue));
    expect(received).toHaveLength(20 * 63);
    expect(new Set(received).size).toBe(20 * 63);
  });

  test("a lost one is made up for by the sweeper", async () => {
    await using alone = await Broker.start({ connectBus: loneliness() });
    const queue = await alone.newQueue();
    const topic = await alone.newTopic([queue]);
    // So no sweep comes before the look.
    await alone.clock.stop();
    await alone.client().publish(topic, numbered(100));
    expect(await alone.waitingBatches()).not.toEqual([]);
    await alone.clock.advance(1);
    await alone.untilFannedOut();
    expect(bodiesOf(await alone.client().drain(queue))).toEqual(numbered(100));
  });

  test("a backlog from before any dispatcher ran is fanned out, once, by two that start together", async () => {
    await using late = await Broker.start({ dispatchers: 0 });
    const queues = [await late.newQueue(), await late.newQueue()];
    const topic = await late.newTopic(queues);
    for (let call = 0; call < 300; call += 1) await late.client().publish(topic, [`m${call}`]);
    await late.clock.advance(60);
    await Promise.all([late.startDispatcher(), late.startDispatcher()]);
    await late.untilFannedOut();
    for (const queue of queues) {
      expect(bodiesOf(await late.client().drain(queue)).sort()).toEqual(numbered(300).sort());
    }
    // A dispatcher counts when it has heard of its commit.
    await until(() => Promise.resolve(late.counted.deliveries >= 600));
    expect(late.counted).toMatchObject({ batches: 300, deliveries: 600 });
  });
});

describe("a fan-out", () => {
  test("is seen whole or not at all", async () => {
    await using late = await Broker.start({ dispatchers: 0 });
    const queues = await Promise.all(Array.from({ length: 5 }, () => late.newQueue()));
    const topic = await late.newTopic(queues);
    for (let call = 0; call < 200; call += 1) await late.client().publish(topic, ["m"]);
    await late.clock.advance(60);
    const starting = late.startDispatcher();
    await until(async () => {
      const [seen] = await late.sql<{ waiting: number; slices: number }[]>`
        SELECT (SELECT count(*)::int FROM outbox) AS waiting, (SELECT count(*)::int FROM slices) AS slices`;
      expect(seen?.slices).toBe((200 - (seen?.waiting ?? 0)) * 5);
      return seen?.waiting === 0;
    });
    await starting;
  });

  test("that fails for one queue is undone for all, and done by the sweeper once it can be", async () => {
    await using frail = await Broker.start();
    const [good, bad] = [await frail.newQueue(), await frail.newQueue()];
    const topic = await frail.newTopic([good, bad]);
    const refusal = await refuseSlices(frail.sql, await frail.idOf(bad));
    await frail.client().publish(topic, ["m"]);
    await vi.waitFor(() => {
      expect(frail.failures).not.toEqual([]);
    });
    expect(await frail.counts(good)).toMatchObject({ visible: 0 });
    expect(await frail.waitingBatches()).toHaveLength(1);
    await refusal.end();
    await frail.clock.advance(1);
    await frail.untilFannedOut();
    for (const queue of [good, bad])
      expect(bodiesOf(await frail.client().drain(queue))).toEqual(["m"]);
    frail.failures.length = 0;
  });

  test("whose dispatcher dies in its middle is done once by another one", async () => {
    await using frail = await Broker.start({ dispatchers: 1 });
    const queue = await frail.newQueue();
    const topic = await frail.newTopic([queue]);
    const table = await holdTable(frail.sql, "slices");
    await frail.client().publish(topic, ["m"]);
    await untilBlocked(frail.sql);
    // Other duties of it may wait at the table before the fan-out does.
    await until(async () => {
      await frail.sql`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      return frail.failures.length > 0;
    });
    expect(await frail.waitingBatches()).toHaveLength(1);
    await frail.clock.advance(1);
    await frail.startDispatcher();
    await table.letGo();
    await frail.untilFannedOut();
    expect(bodiesOf(await frail.client().drain(queue))).toEqual(["m"]);
    frail.failures.length = 0;
  });

  test("passes over a queue that was deleted since, and a topic that was", async () => {
    await using late = await Broker.start({ dispatchers: 0 });
    const [kept, deleted] = [await late.newQueue(), await late.newQueue()];
    const topic = await late.newTopic([kept, deleted]);
    const doomed = await late.newTopic([kept]);
    await late.client().publish(topic, ["m"]);
    await late.client().publish(doomed, ["nobody's"]);
    await late.engine.queues.delete(ACCOUNT, deleted);
    await late.engine.topics.delete(ACCOUNT, doomed);
    await late.clock.advance(1);
    await late.startDispatcher();
    await late.untilFannedOut();
    expect(bodiesOf(await late.client().drain(kept))).toEqual(["m"]);
    expect(await late.sql`SELECT FROM slices`).toHaveLength(1);
  });
});

async function allSlices(): Promise<number> {
  const [row] = await broker.sql<{ count: number }[]>`SELECT count(*)::int AS count FROM slices`;
  return row?.count ?? 0;
}

async function allBatches(): Promise<number> {
  const [row] = await broker.sql<{ count: number }[]>`SELECT count(*)::int AS count FROM batches`;
  return row?.count ?? 0;
}

import { createInProcessBus } from "@sluice/bus";
import { cleanUp, ReplayDuty, type QueueSettings, type ReplayRequest } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, type ReceivedMessage } from "./client.ts";
import {
  byGroup,
  endFanOuts,
  finishAll,
  finishInOrder,
  grouped,
  newFifoTopic,
  one,
} from "./fifo.ts";
import { holdWith, until, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start();
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const BEGINNING = { at: new Date(0) };

interface Of {
  id: string;
  account: string;
}

/** A FIFO topic with an archive, and a queue that is subscribed to it. */
async function archived(settings: Partial<QueueSettings> = { fifo: true }, on = broker) {
  const queue = await on.newQueue(settings);
  const topic = await newFifoTopic(on, []);
  await on.engine.topics.update(ACCOUNT, topic, { archive: { days: 1 } });
  const { subscription } = await on.engine.subscribe(ACCOUNT, topic, queue);
  return { topic, queue, subscription: { id: subscription.id, account: ACCOUNT } };
}

/** The same, and these were published, received and acknowledged. */
async function delivered(
  contents: Parameters<typeof client.publish>[1],
  settings?: Partial<QueueSettings>,
) {
  const made = await archived(settings);
  const ids = await client.publish(made.topic, contents);
  await broker.untilFannedOut();
  return { ...made, ids, live: await finishAll(client, made.queue) };
}

async function replay(subscription: Of, request: ReplayRequest = { from: BEGINNING }, on = broker) {
  const { id } = await on.engine.replay(ACCOUNT, subscription.id, request);
  await untilEnded(subscription, id, on);
  return await on.engine.replays.find(subscription, id);
}

async function untilEnded(subscription: Of, id: string, on = broker) {
  await until(async () => (await on.engine.replays.find(subscription, id))?.status === "completed");
}

async function subscribeFrom(topic: string, on = broker) {
  const queue = await on.newQueue({ fifo: true });
  const { subscription } = await on.engine.subscribe(ACCOUNT, topic, queue, {
    replayFrom: BEGINNING,
  });
  const of = { id: subscription.id, account: ACCOUNT };
  const [first] = await on.engine.replays.list(of, 1);
  return { queue, of, replay: first?.id ?? "" };
}

const idsAndTimes = (messages: readonly ReceivedMessage[]) =>
  messages.map(({ messageId, sentAt }) => [messageId, sentAt]);

describe("a replay of a FIFO topic", () => {
  test("comes in the order of each group and marked, to its subscription alone", async () => {
    const other = await broker.newQueue({ fifo: true });
    const contents = [...grouped("a", 70), ...grouped("b", 5)];
    const { topic, queue, subscription, live } = await delivered(contents);
    await broker.engine.subscribe(ACCOUNT, topic, other);
    expect(await replay(subscription)).toMatchObject({ status: "completed", replayed: 75 });
    const peeked = await broker.engine.peek(ACCOUNT, queue, { limit: 100 });
    expect(peeked.messages.map(({ replayed }) => replayed)).toEqual(contents.map(() => true));
    const again = await finishAll(client, queue);
    expect(byGroup(again)).toEqual(byGroup(live));
    expect(idsAndTimes(again).sort()).toEqual(idsAndTimes(live).sort());
    expect(again.every(({ replayed }) => replayed)).toBe(true);
    const [last, next] = [live.at(-1)?.sequenceNumber ?? "", again[0]?.sequenceNumber ?? ""];
    expect(next > last).toBe(true);
    expect(await client.receive(other)).toEqual([]);
  });

  test("is not swallowed by the deduplication of the queue, and changes nothing about it", async () => {
    const { topic, queue, subscription } = await delivered(grouped("a", 3));
    await replay(subscription);
    await replay(subscription);
    expect(await finishInOrder(client, queue)).toEqual(["a0", "a1", "a2", "a0", "a1", "a2"]);
    await client.send(queue, [one("a", "a0")]);
    expect(await client.receive(queue)).toEqual([]);
    await broker.clock.advance(301);
    await replay(subscription);
    await finishInOrder(client, queue);
    await client.publish(topic, [one("a", "a0")]);
    await broker.untilFannedOut();
    expect(await finishInOrder(client, queue)).toEqual(["a0"]);
  });

  test("leaves out what was a duplicate when it was published", async () => {
    const contents = [one("a", "1"), one("a", "1"), one("b", "2"), one("b", "1"), one("a", "3")];
    const { topic, queue, subscription } = await delivered(contents);
    expect(await replay(subscription)).toMatchObject({ replayed: 3 });
    expect(byGroup(await finishAll(client, queue))).toEqual({ a: ["1", "3"], b: ["2"] });
    const { items } = await broker.engine.matchArchived(ACCOUNT, topic, { last: 10 });
    expect(items.map(({ message }) => message.body)).toEqual(["3", "2", "1"]);
  });

  test("goes from one message to another one, both included, also within a batch", async () => {
    const { queue, subscription, ids } = await delivered(grouped("a", 5));
    const range = { from: { messageId: ids[1] ?? "" }, to: { messageId: ids[3] ?? "" } };
    expect(await replay(subscription, range)).toMatchObject({ replayed: 3 });
    expect(await finishInOrder(client, queue)).toEqual(["a1", "a2", "a3"]);
  });

  test("applies the filter that the subscription has now", async () => {
    const bodies = ['{"n":1}', '{"n":2}', '{"n":3}'];
    const { queue, subscription } = await delivered(bodies.map((body) => one("a", body)));
    await broker.engine.subscriptions.update(ACCOUNT, subscription.id, {
      filterPolicy: { n: [{ numeric: [">", 1] }] },
      filterPolicyScope: "MessageBody",
    });
    expect(await replay(subscription)).toMatchObject({ replayed: 2 });
    expect(await finishInOrder(client, queue)).toEqual(bodies.slice(1));
  });

  test("goes to a standard queue, with its groups", async () => {
    const contents = [...grouped("a", 3), ...grouped("b", 2)];
    const { queue, subscription } = await delivered(contents, {});
    expect(await replay(subscription)).toMatchObject({ replayed: 5 });
    const messages = await client.drain(queue);
    expect(byGroup(messages)).toEqual({ a: ["a0", "a1", "a2"], b: ["b0", "b1"] });
    expect(messages.every(({ replayed }) => replayed)).toBe(true);
  });

  test("is bound by its rate, and ends when it is cancelled", async () => {
    const { queue, subscription } = await delivered(grouped("a", 60));
    // So slow that it gets nowhere: a batch goes whole, and for one of sixty there is room after a minute.
    const { id } = await broker.engine.replay(ACCOUNT, subscription.id, {
      from: BEGINNING,
      rate: 1,
    });
    await broker.engine.replays.cancel(subscription, id);
    expect(await broker.engine.replays.find(subscription, id)).toMatchObject({
      status: "cancelled",
      replayed: 0,
    });
    await broker.clock.advance(60);
    expect(await client.receive(queue)).toEqual([]);
  });

  test("keeps its mark and time through a split, a visibility change, a repeated attempt and a failure", async () => {
    const pair = await broker.newQueue({ fifo: true });
    const { queue, subscription, live } = await delivered(grouped("a", 4), {
      fifo: true,
      redrive: { deadLetterQueue: pair, maxReceiveCount: 3 },
    });
    await replay(subscription);
    const expected = idsAndTimes(live);
    const attempt = { maxMessages: 2, attemptId: "x" };
    const taken = await client.receive(queue, attempt);
    expect(idsAndTimes(taken)).toEqual(expected.slice(0, 2));
    expect(await client.receive(queue, attempt)).toEqual(taken);
    await client.hide(queue, taken.slice(1), 0);
    await client.hide(queue, taken.slice(0, 1), 0);
    for (let count = 0; count < 3; count += 1) {
      const all = await client.receive(queue, { maxMessages: 10 });
      expect(all.every(({ replayed }) => replayed)).toBe(true);
      await client.hide(queue, all, 0);
    }
    await client.receive(queue);
    const dead = await finishAll(client, pair);
    expect(idsAndTimes(dead)).toEqual(expected.slice(0, dead.length));
    expect(dead.length).toBeGreaterThan(1);
    expect(dead.every(({ replayed }) => replayed)).toBe(true);
  });

  test("keeps the order of commits when a clock was set back, and finds each message", async () => {
    const { topic, queue, subscription } = await archived();
    await broker.clock.advance(30);
    await client.publish(topic, grouped("a", 1));
    await broker.untilFannedOut();
    await broker.clock.advance(-20);
    const [second = ""] = await client.publish(topic, grouped("a", 1, 1));
    await broker.clock.advance(20);
    await broker.untilFannedOut();
    await client.publish(topic, grouped("a", 1, 2));
    await broker.untilFannedOut();
    await finishInOrder(client, queue);
    await replay(subscription);
    expect(await finishInOrder(client, queue)).toEqual(["a0", "a1", "a2"]);
    await replay(subscription, { from: { messageId: second } });
    expect(await finishInOrder(client, queue)).toEqual(["a1", "a2"]);
  });

  test("reaches the dead-letter queue of a subscription whose queue was deleted", async () => {
    const deadLetters = await broker.newQueue({ fifo: true });
    const { queue, subscription } = await delivered(grouped("a", 3));
    await broker.engine.subscriptions.update(ACCOUNT, subscription.id, {
      redrivePolicy: { deadLetterQueue: deadLetters },
    } as never);
    await broker.engine.queues.delete(ACCOUNT, queue);
    expect(await replay(subscription)).toMatchObject({ replayed: 3 });
    expect(await finishInOrder(client, deadLetters)).toEqual(["a0", "a1", "a2"]);
  });

  test("waits for nobody who holds the queue for long, and goes on after that", async () => {
    const { queue, subscription } = await delivered(grouped("a", 3));
    const lock = 2n ** 62n + BigInt(await broker.idOf(queue));
    const held = await holdWith(broker.sql, `SELECT pg_advisory_xact_lock(${lock})`);
    const { id } = await broker.engine.replay(ACCOUNT, subscription.id, { from: BEGINNING });
    await untilBlocked(broker.sql);
    const other = await delivered(grouped("b", 2));
    await replay(other.subscription);
    expect(await finishInOrder(client, other.queue)).toEqual(["b0", "b1"]);
    await held.letGo();
    await untilEnded(subscription, id);
    expect(await finishInOrder(client, queue)).toEqual(["a0", "a1", "a2"]);
  });
});

describe("a FIFO subscription that begins with a replay", () => {
  test("gets each message once and in order, however publishes, fan-outs and it fall together", async () => {
    const { topic } = await archived();
    const groups = ["a", "b", "c", "d"];
    const publishing = Promise.all(
      groups.map(async (group) => {
        for (let at = 0; at < 60; at += 1) await client.publish(topic, grouped(group, 1, at));
      }),
    );
    const subscribed = [];
    for (let count = 0; count < 4; count += 1) subscribed.push(await subscribeFrom(topic));
    await publishing;
    await broker.untilFannedOut();
    for (const { queue, of, replay: id } of subscribed) {
      await untilEnded(of, id);
      const messages = await finishAll(client, queue);
      expect(bodiesOf(messages).sort()).toEqual(
        groups.flatMap((group) => bodiesOf(grouped(group, 60) as never)).sort(),
      );
      // What is replayed is in order, and so is what comes live; what was published first may come by the replay,
      // later.
      for (const mark of [true, undefined]) {
        const part = byGroup(messages.filter(({ replayed }) => replayed === mark));
        for (const [group, bodies] of Object.entries(part)) {
          const numbers = bodies.map((body) => Number(body.slice(group.length)));
          expect(numbers).toEqual([...numbers].sort((x, y) => x - y));
        }
      }
    }
  });

  test("gets by the replay what a fan-out takes that began before it", async () => {
    const { topic } = await archived();
    // The fan-out has its snapshot, without the subscription, and waits with the batch in its hand: here for as long as
    // it takes, where it gives up other locks after a second, to look again with the subscription.
    await broker.sql.unsafe(`
      CREATE FUNCTION pass_gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
      BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN old; END $$;
      CREATE TRIGGER pass_gate BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION pass_gate()`);
    const held = await holdWith(broker.sql, "SELECT pg_advisory_xact_lock(1)");
    await client.publish(topic, grouped("a", 2));
    await untilBlocked(broker.sql);
    const { queue, of, replay: id } = await subscribeFrom(topic);
    await held.letGo();
    await untilEnded(of, id);
    expect(await broker.engine.replays.find(of, id)).toMatchObject({ replayed: 2 });
    expect(await finishInOrder(client, queue)).toEqual(["a0", "a1"]);
    await broker.sql`DROP TRIGGER pass_gate ON outbox`;
  });
});

test("the archive of a FIFO topic keeps payloads until its days are over", async () => {
  const { queue, subscription } = await delivered(grouped("a", 2));
  await broker.clock.advance(3_600);
  await cleanUp(broker.database.maintenance);
  expect(await replay(subscription)).toMatchObject({ replayed: 2 });
  expect(await finishInOrder(client, queue)).toEqual(["a0", "a1"]);
  await broker.clock.advance(86_400);
  await cleanUp(broker.database.maintenance);
  expect(await replay(subscription)).toMatchObject({ replayed: 0 });
});

test("dispatchers that die or carry on the same replay deliver each message once and in order", async () => {
  await using many = await Broker.start({ dispatchers: 2, cutsConnections: true });
  const { topic, queue, subscription } = await archived({ fifo: true }, many);
  for (let at = 0; at < 200; at += 1) await many.client().publish(topic, [one("a", `a${at}`)]);
  await many.untilFannedOut();
  const bodies = bodiesOf(await finishAll(many.client(), queue));
  const lock = 2n ** 62n + BigInt(await many.idOf(queue));
  const held = await holdWith(many.sql, `SELECT pg_advisory_xact_lock(${lock})`);
  const { id } = await many.engine.replay(ACCOUNT, subscription.id, { from: BEGINNING });
  // The first ones die in the middle of a page.
  await untilBlocked(many.sql);
  let ended = 0;
  await until(async () => {
    ended += await endFanOuts(many);
    return ended > 0;
  });
  const options = { sql: many.database.sql, bus: createInProcessBus(), observer: many.observer };
  const rounds = Array.from({ length: 3 }, async () => {
    const duty = new ReplayDuty(options);
    await duty.runOnce();
    await duty.idle();
  });
  await held.letGo();
  await until(async () => {
    if (ended < 10) ended += await endFanOuts(many);
    return (await many.engine.replays.find(subscription, id))?.status === "completed";
  });
  await Promise.all(rounds);
  expect(bodies).toHaveLength(200);
  expect(bodiesOf(await finishAll(many.client(), queue))).toEqual(bodies);
});

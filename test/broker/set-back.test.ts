import { createPublicKey, verify } from "node:crypto";

import type { ReplayRequest } from "@sluice/engine";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import type { Content } from "./content.ts";
import { finishInOrder, grouped, newFifoTopic } from "./fifo.ts";
import { holdWith, until } from "./interleaving.ts";

let broker: Broker;
beforeEach(async () => {
  broker = await Broker.start();
});
afterEach(() => broker[Symbol.asyncDispose]());

const BEGINNING = { at: new Date(0) };

interface Of {
  id: string;
  account: string;
}

/** A topic with an archive, and a queue that is subscribed to it. */
async function archived(fifo: boolean) {
  const queue = await broker.newQueue({ fifo });
  const topic = fifo ? await newFifoTopic(broker, []) : await broker.newTopic();
  await broker.engine.topics.update(ACCOUNT, topic, { archive: { days: 1 } });
  const { subscription } = await broker.engine.subscribe(ACCOUNT, topic, queue, {
    rawDelivery: false,
  });
  return { topic, queue, subscription: { id: subscription.id, account: ACCOUNT } };
}

/** One by one, each of which is fanned out before the next one. */
async function published(topic: string, count: number, from = 0): Promise<string[]> {
  const ids: string[] = [];
  for (const content of contents(topic, count, from)) {
    ids.push(...(await broker.client().publish(topic, [content])));
    await broker.untilFannedOut();
  }
  return ids;
}

function contents(topic: string, count: number, from = 0): Content[] {
  if (topic.endsWith(".fifo")) return grouped("a", count, from);
  return Array.from({ length: count }, (_, index) => `a${from + index}`);
}

async function untilEnded(of: Of, id: string): Promise<void> {
  await until(async () => (await broker.engine.replays.find(of, id))?.status === "completed");
}

async function replay(subscription: Of, request: ReplayRequest = { from: BEGINNING }) {
  const { id } = await broker.engine.replay(ACCOUNT, subscription.id, request);
  await untilEnded(subscription, id);
}

/** Subscribes a new queue, and waits for the end of the replay that it begins with. */
async function subscribeFrom(topic: string, fifo: boolean): Promise<string> {
  const queue = await broker.newQueue({ fifo });
  const { subscription } = await broker.engine.subscribe(ACCOUNT, topic, queue, {
    replayFrom: BEGINNING,
  });
  const of = { id: subscription.id, account: ACCOUNT };
  const [first] = await broker.engine.replays.list(of, 1);
  await untilEnded(of, first?.id ?? "");
  return queue;
}

describe.each([false, true])("after a failover to a clock that is behind (FIFO: %s)", (fifo) => {
  test("a subscription that begins with a replay gets what was published before and since, once", async () => {
    const { topic } = await archived(fifo);
    await broker.clock.advance(60);
    await published(topic, 1);
    await broker.clock.advance(-30);
    await published(topic, 2, 1);
    const queue = await subscribeFrom(topic, fifo);
    await published(topic, 1, 3);
    await broker.clock.advance(30);
    expect((await finishInOrder(broker.client(), queue)).sort()).toEqual(["a0", "a1", "a2", "a3"]);
  });

  test("it waits for what was published before and is being fanned out", async () => {
    const { topic } = await archived(fifo);
    // The fan-out has its snapshot, without the subscription, and waits with the batch in its hand.
    await broker.sql.unsafe(`
      CREATE FUNCTION pass_gate() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN old; END $$;
      CREATE TRIGGER pass_gate BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION pass_gate()`);
    const held = await holdWith(broker.sql, "SELECT pg_advisory_xact_lock(1)");
    await broker.client().publish(topic, contents(topic, 1));
    await untilGated();
    await broker.clock.advance(-30);
    const subscribed = subscribeFrom(topic, fifo);
    await until(async () => {
      const rows = await broker.sql`SELECT FROM replays WHERE started_at IS NOT NULL`;
      return rows.length > 0;
    });
    await held.letGo();
    expect(await finishInOrder(broker.client(), await subscribed)).toEqual(["a0"]);
  });

  test("a replay reads all that was published before it, and finds each message by its id", async () => {
    const { topic, queue, subscription } = await archived(fifo);
    await broker.clock.advance(120);
    await published(topic, 1);
    await broker.clock.advance(-90);
    const [second = ""] = await published(topic, 2, 1);
    await replay(subscription);
    await replay(subscription, { from: { messageId: second }, to: { messageId: second } });
    await broker.clock.advance(90);
    const replayed = (await finish(queue)).filter(({ Replayed }) => Replayed);
    expect(bodiesOf(replayed)).toEqual(["a0", "a1", "a1", "a2"]);
  });

  test("a replayed notification is the one that came live, and its signature is valid", async () => {
    const { topic, queue, subscription } = await archived(fifo);
    await broker.clock.advance(30);
    await published(topic, 1);
    await broker.clock.advance(-20);
    await published(topic, 1, 1);
    await broker.clock.advance(30);
    const live = await finish(queue);
    await replay(subscription);
    const again = await finish(queue);
    const timesOf = (notifications: readonly Notification[]) =>
      Object.fromEntries(notifications.map(({ Message, Timestamp }) => [Message, Timestamp]));
    expect(timesOf(again)).toEqual(timesOf(live));
    const valid = await Promise.all([...live, ...again].map(isValid));
    expect(valid).toEqual([true, true, true, true]);
    const matched = await broker.engine.matchArchived(ACCOUNT, topic, { last: 10 });
    const shown = matched.items.map(({ message: { body, publishedAt } }) => [
      body,
      publishedAt.toISOString().slice(0, 23),
    ]);
    expect(Object.fromEntries(shown)).toEqual(
      Object.fromEntries(live.map(({ Message, Timestamp }) => [Message, Timestamp.slice(0, 23)])),
    );
  });

  test("an archive has what is published after it was switched on", async () => {
    const { topic, queue, subscription } = await archived(fifo);
    await broker.clock.advance(-30);
    const [first = ""] = await published(topic, 2);
    await finish(queue);
    await replay(subscription, { from: { messageId: first } });
    expect(bodiesOf(await finish(queue))).toEqual(["a0", "a1"]);
  });

  test("an archive that was switched off is gone for good", async () => {
    const { topic, queue, subscription } = await archived(fifo);
    await broker.clock.advance(60);
    await published(topic, 1);
    await broker.engine.topics.update(ACCOUNT, topic, { archive: null });
    await broker.clock.advance(-30);
    await broker.engine.topics.update(ACCOUNT, topic, { archive: { days: 1 } });
    await published(topic, 1, 1);
    await broker.clock.advance(60);
    await finish(queue);
    await replay(subscription);
    expect(bodiesOf(await finish(queue))).toEqual(["a1"]);
  });
});

test.each([false, true])(
  "what was published before a failover and not fanned out goes on at once (FIFO: %s)",
  async (fifo) => {
    await using idle = await Broker.start({ dispatchers: 0 });
    const queue = await idle.newQueue({ fifo });
    const topic = fifo ? await newFifoTopic(idle, [queue]) : await idle.newTopic([queue]);
    await idle.client().publish(topic, contents(topic, 1));
    await idle.clock.advance(-3_600);
    await idle.startDispatcher();
    await idle.untilFannedOut();
    await idle.clock.advance(3_600);
    expect(await finishInOrder(idle.client(), queue)).toEqual(["a0"]);
  },
);

interface Notification {
  Message: string;
  MessageId: string;
  Timestamp: string;
  TopicArn: string;
  Type: string;
  Replayed?: boolean;
  Signature: string;
  SigningCertURL: string;
}

function bodiesOf(notifications: readonly Notification[]): string[] {
  return notifications.map(({ Message }) => Message).toSorted();
}

async function finish(queue: string): Promise<Notification[]> {
  const bodies = await finishInOrder(broker.client(), queue);
  return bodies.map((body) => JSON.parse(body) as Notification);
}

async function isValid(notification: Notification): Promise<boolean> {
  const names = ["Message", "MessageId", "Timestamp", "TopicArn", "Type"] as const;
  const text = names.map((name) => `${name}\n${notification[name]}\n`).join("");
  const { pathname } = new URL(notification.SigningCertURL);
  const key = createPublicKey((await broker.engine.envelopes.certificateAt(pathname))!);
  return verify("sha1", Buffer.from(text), key, Buffer.from(notification.Signature, "base64"));
}

/** A fan-out waits at the gate. */
async function untilGated(): Promise<void> {
  await until(async () => {
    const rows = await broker.sql`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`;
    return rows.length > 0;
  });
}

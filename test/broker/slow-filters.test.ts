import { setTimeout as sleep } from "node:timers/promises";

import { createInProcessBus, InProcessHub } from "@sluice/bus";
import { startDispatcher, type Match, type SubscriptionSettings } from "@sluice/engine";
import { createLogger } from "@sluice/runtime";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker, loneliness } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { holdDeliveries, until, untilBlocked } from "./interleaving.ts";
import { connectTraced, type Statement, type TracedDatabase } from "./statements.ts";

const broker = await Broker.start({ dispatchers: 0, engines: 4 });
afterAll(() => broker[Symbol.asyncDispose]());
// A statement that is held here may take as long as the machine needs.
const dispatching = await connectTraced(broker.databaseUrl, 4, { statement_timeout: "0" });
await broker.startDispatcher(dispatching);
const { engine } = broker;
const client = broker.client();

/** A policy that takes a quarter of a second for {@link LARGE}; each number makes another one. */
function slowPolicy(number: number): Partial<SubscriptionSettings> {
  const wildcards = Array.from({ length: 150 }, (_, index) => ({
    wildcard: `*${"a".repeat(21)}b${number}x${index}*`,
  }));
  return { filterPolicyScope: "MessageBody", filterPolicy: { key: wildcards } };
}

/** It has nearly each part of each pattern: a look at what it has tells nothing. */
const NEARLY = Array.from(
  { length: 40 * 150 },
  (_, index) => `aab${Math.floor(index / 150)}x${index % 150}`,
);
const LARGE = JSON.stringify({ key: NEARLY.join("") + "a".repeat(190_000) });

/** With so many subscriptions that have a slow policy each. */
async function slowTopic(
  subscriptions: number,
  { of = broker, fifo = false } = {},
): Promise<string> {
  const name = `slow-${crypto.randomUUID()}${fifo ? ".fifo" : ""}`;
  await of.engine.topics.create(ACCOUNT, { name, fifo, archive: { days: 1 } });
  for (let number = 0; number < subscriptions; number += 1) {
    const queue = await of.newQueue();
    await of.engine.subscribe(ACCOUNT, name, queue, slowPolicy(number));
  }
  return name;
}

/** How often a timer of a millisecond ran out meanwhile. */
async function ticksDuring(act: () => Promise<unknown>): Promise<number> {
  let ticks = 0;
  const timer = setInterval(() => (ticks += 1), 1);
  await act();
  clearInterval(timer);
  return ticks;
}

/** A dispatcher on these connections has read a batch: it evaluates its filters from then on. */
async function untilEvaluated({ statements }: TracedDatabase): Promise<void> {
  await until(() =>
    Promise.resolve(statements.some(({ text }) => text.includes("THEN payload END"))),
  );
}

/** Each in a batch of its own: of one engine what comes at once shares one. */
async function publishApart(topic: string, bodies: readonly string[]): Promise<void> {
  const left = bodies.values();
  await Promise.all(
    broker.engines.map(async (_, number) => {
      for (const body of left) await broker.client(number).publish(topic, [body]);
    }),
  );
}

/** The batches that a statement is to fan out. */
function batchesAsked({ text, parameters }: Statement): string[] {
  if (!text.includes("JOIN outbox o ON o.batch_id = g.batch_id")) return [];
  return String(parameters[2]).replace(/[{}]/g, "").split(",");
}

async function untilReceived(queue: string, count: number, of = broker): Promise<string[]> {
  const received: string[] = [];
  await until(async () => {
    received.push(...bodiesOf(await of.client().receive(queue, { maxMessages: 10 })));
    return received.length === count;
  });
  return received.toSorted();
}

describe("while filters of one topic are evaluated for seconds", () => {
  const attributes = { color: { type: "String", value: "red" } };

  test("the process goes on, and so do fan-outs of other topics", async () => {
    const slow = await slowTopic(12);
    const queue = await broker.newQueue();
    const quick = await broker.newTopic();
    await engine.subscribe(ACCOUNT, quick, queue, { filterPolicy: { color: ["red"] } });
    const plain = await broker.newTopic([queue]);
    dispatching.statements.length = 0;
    await client.publish(slow, [LARGE]);
    await untilEvaluated(dispatching);
    await client.publish(quick, [{ body: "filtered", attributes }]);
    await client.publish(plain, ["plain"]);
    expect(await untilReceived(queue, 2)).toEqual(["filtered", "plain"]);
    expect(await broker.waitingBatches()).toHaveLength(1);
    expect(await ticksDuring(() => broker.untilFannedOut())).toBeGreaterThan(50);
  }, 120_000);

  test("more of that topic goes on one after the other, and arrives", async () => {
    const topic = await slowTopic(2);
    const queue = await broker.newQueue();
    await engine.subscribe(ACCOUNT, topic, queue);
    for (let count = 0; count < 3; count += 1) await client.publish(topic, [LARGE, "small"]);
    await broker.untilFannedOut();
    expect(await untilReceived(queue, 6)).toHaveLength(6);
  }, 120_000);

  test.each([false, true])(
    "what was announced to nobody goes on as well (FIFO topics: %s)",
    async (fifo) => {
      await using lonely = await Broker.start({ connectBus: loneliness(), dispatchers: 0 });
      const dispatcher = await connectTraced(lonely.databaseUrl);
      await lonely.startDispatcher(dispatcher);
      const slow = await slowTopic(40, { of: lonely, fifo });
      const quick = await slowTopic(0, { of: lonely, fifo });
      const queue = await lonely.newQueue();
      await lonely.engine.subscribe(ACCOUNT, quick, queue, { filterPolicy: { color: ["red"] } });
      const message = (body: string) =>
        fifo ? { body, attributes, groupId: "g", deduplicationId: "d" } : { body, attributes };
      await lonely.client().publish(slow, [message(LARGE)]);
      await untilEvaluated(dispatcher);
      await lonely.client().publish(quick, [message("m")]);
      expect(await untilReceived(queue, 1, lonely)).toEqual(["m"]);
      expect(await lonely.waitingBatches()).toHaveLength(1);
    },
    120_000,
  );

  test("what was announced to nobody goes on also while there is always more of its topic", async () => {
    const hub = new InProcessHub();
    // Of an engine that is heard, one that is not, and the dispatcher.
    const members = [{ hub }, {}, { hub }].map((options) => createInProcessBus(options));
    const connectBus = () => Promise.resolve(members.shift()!);
    await using both = await Broker.start({ engines: 2, connectBus });
    const [heard, unheard] = [both.client(0), both.client(1)];
    const topic = await slowTopic(2, { of: both });
    const queue = await both.newQueue();
    await both.engine.subscribe(ACCOUNT, topic, queue);
    const enough = new AbortController();
    const feeding = (async () => {
      while (!enough.signal.aborted) {
        if ((await both.waitingBatches()).length < 4) await heard.publish(topic, [LARGE]);
        else await sleep(20);
      }
    })();
    await until(async () => (await both.counts(queue)).visible > 4);
    await unheard.publish(topic, ["lost"]);
    await until(async () => {
      const received = await heard.receive(queue, { maxMessages: 10 });
      return bodiesOf(received).includes("lost");
    });
    enough.abort();
    await feeding;
    await both.untilFannedOut();
  }, 120_000);

  test("what is beyond a thousand waiting batches of it is taken up when it is done with those", async () => {
    const topic = await slowTopic(2);
    const queue = await broker.newQueue();
    await engine.subscribe(ACCOUNT, topic, queue);
    dispatching.statements.length = 0;
    const held = await holdDeliveries(broker.sql);
    await client.publish(topic, [LARGE]);
    // Evaluated, by itself.
    await untilBlocked(broker.sql);
    // Two sets of 128 may have been asked for, and be still on their way into what waits, when it goes on.
    const small = numbered(1_400);
    await publishApart(topic, small);
    const waiting = await broker.waitingBatches();
    await until(() => {
      const asked = new Set(dispatching.statements.flatMap(batchesAsked));
      return Promise.resolve(waiting.every((batchId) => asked.has(batchId)));
    });
    dispatching.statements.length = 0;
    await held.letGo();
    await broker.untilFannedOut();
    const bodies = await client.finish(queue);
    expect(bodies.toSorted()).toEqual([LARGE, ...small].toSorted());
    // What it had in hand went by 32, the rest by the sweeper, which finds 128 at once.
    const sizes = dispatching.statements.map((statement) => batchesAsked(statement).length);
    expect(Math.max(...sizes)).toBeGreaterThan(32);
  }, 120_000);

  test("a dispatcher that stops leaves it to another one", async () => {
    await using other = await Broker.start({ dispatchers: 0 });
    const topic = await slowTopic(40, { of: other });
    const queue = await other.newQueue();
    await other.engine.subscribe(ACCOUNT, topic, queue);
    await other.client().publish(topic, [LARGE]);
    await using database = await connectTraced(other.databaseUrl, 2);
    const bus = createInProcessBus();
    const logger = createLogger({ name: "test-dispatcher", level: "silent" });
    const dispatcher = await startDispatcher({ database, bus, observer: other.observer, logger });
    const topicId = (await other.engine.topics.find(ACCOUNT, topic))?.id;
    const isLeftOut = ({ text, parameters }: Statement) =>
      text.includes("topic_id <> ALL") && parameters.includes(`{${topicId}}`);
    // The sweeper looks for others: this one has been at it for more than a second by then, of the ten that it takes.
    await until(() => Promise.resolve(database.statements.some(isLeftOut)));
    await dispatcher.stop();
    expect(await other.waitingBatches()).toHaveLength(1);
    await bus.close();
  }, 120_000);
});

describe("a replay whose filter takes long", () => {
  /** A subscription that begins with a replay of that. */
  async function replayed(topic: string, settings: Partial<SubscriptionSettings>) {
    const queue = await broker.newQueue();
    const all = { ...settings, replayFrom: { at: new Date(0) } };
    const { subscription } = await engine.subscribe(ACCOUNT, topic, queue, all);
    const of = { id: subscription.id, account: ACCOUNT };
    const [replay] = await engine.replays.list(of, 1);
    return { queue, of, id: replay?.id ?? "" };
  }

  async function archived(bodies: readonly string[]): Promise<string> {
    const topic = await slowTopic(0);
    await publishApart(topic, bodies);
    await broker.untilFannedOut();
    return topic;
  }

  test("holds up no other, of however many steps", async () => {
    const large = await archived(Array.from({ length: 24 }, () => LARGE));
    // Ten pages.
    const small = await archived(numbered(320).map((key) => JSON.stringify({ key })));
    dispatching.statements.length = 0;
    const slow = await replayed(large, slowPolicy(0));
    await untilEvaluated(dispatching);
    const quick = await replayed(small, {
      filterPolicyScope: "MessageBody",
      filterPolicy: { key: [{ prefix: "m" }] },
    });
    await until(
      async () => (await engine.replays.find(quick.of, quick.id))?.status === "completed",
    );
    expect(await engine.replays.find(slow.of, slow.id)).toMatchObject({ status: "running" });
    const stepsOf = (id: string) =>
      dispatching.statements.filter(
        ({ text, parameters }) => text.includes("FOR UPDATE OF r SKIP") && parameters.includes(id),
      ).length;
    expect(stepsOf(slow.id)).toBeLessThan(stepsOf(quick.id) / 2);
    expect(await broker.counts(quick.queue)).toMatchObject({ visible: 320 });
    await engine.replays.cancel(slow.of, slow.id);
  }, 120_000);
});

describe("a dry run that takes long", () => {
  test("ends its page early, and lets the process go on", async () => {
    const topic = await slowTopic(12);
    const matches: Match[] = [];
    let pages = 0;
    const walk = async () => {
      for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
        const page = await engine.match(ACCOUNT, topic, { message: { body: LARGE }, cursor });
        matches.push(...page.items);
        cursor = page.nextCursor;
        pages += 1;
      }
    };
    expect(await ticksDuring(walk)).toBeGreaterThan(50);
    expect(pages).toBeGreaterThan(1);
    expect(new Set(matches.map(({ subscription }) => subscription.id)).size).toBe(12);
    expect(matches.map(({ refusal }) => refusal?.path)).toEqual(matches.map(() => "key"));
  }, 120_000);

  test("ends when its client is gone", async () => {
    const topic = await slowTopic(3);
    const gone = { aborted: false };
    const page = engine.match(ACCOUNT, topic, { message: { body: LARGE }, gone });
    gone.aborted = true;
    await expect(page).rejects.toMatchObject({ code: "too_many_requests" });
  }, 120_000);

  test("of many archived messages and subscriptions goes on page by page", async () => {
    const topic = await broker.newTopic();
    await engine.topics.update(ACCOUNT, topic, { archive: { days: 1 } });
    for (let number = 0; number < 210; number += 1) {
      const filterPolicy = { number: [number] };
      await engine.subscribe(ACCOUNT, topic, await broker.newQueue(), {
        filterPolicyScope: "MessageBody",
        filterPolicy,
      });
    }
    await client.publish(
      topic,
      numbered(100).map((_, number) => JSON.stringify({ number })),
    );
    await broker.untilFannedOut();
    const accepted: string[] = [];
    let pages = 0;
    for (let cursor: string | undefined; pages === 0 || cursor; pages += 1) {
      const request = { last: 100, limit: 1_000, cursor };
      const page = await engine.matchArchived(ACCOUNT, topic, request);
      expect(page.items).toHaveLength(100);
      for (const { message, matches } of page.items)
        accepted.push(...matches.filter(({ refusal }) => !refusal).map(() => message.body));
      cursor = page.nextCursor;
    }
    expect(pages).toBeGreaterThan(1);
    expect(new Set(accepted).size).toBe(100);
  }, 120_000);
});

import { afterAll, describe, expect, test } from "vitest";

import { Broker } from "./broker.ts";
import { bodiesOf, numbered, type ReceivedMessage } from "./client.ts";
import { bury, change, newPair } from "./dead-letters.ts";
import { explain, nodesOf, rowsRead } from "./explain.ts";
import { until } from "./interleaving.ts";
import { connectTraced, type Statement } from "./statements.ts";

const broker = await Broker.start({ engines: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const api = await connectTraced(broker.databaseUrl);
await broker.startEngine(api);
await broker.startEngine();
const client = broker.client();
const otherProcess = broker.client(1);

/** Receives of one message that go by before quiet tenants are looked for again: 20 milliseconds' worth. */
const SOON = 50;

function of(groupId: string, bodies: readonly string[]) {
  return bodies.map((body) => ({ body, groupId }));
}

async function send(queue: string, contents: Parameters<typeof client.send>[1]): Promise<void> {
  for (let start = 0; start < contents.length; start += 1_000)
    await client.send(queue, contents.slice(start, start + 1_000));
}

/** A queue whose tenant "noisy" has so many messages waiting, and many in flight that it works on for long. */
async function noisyQueue(waiting: number): Promise<{ queue: string; held: ReceivedMessage[] }> {
  const queue = await broker.newQueue({ visibilityTimeout: 600 });
  await send(queue, of("noisy", numbered(waiting + 100, "noisy ")));
  // By one receive: who is noisy is counted with the next one, and not again for a second or more.
  const held = await client.receive(queue, { maxMessages: 100 });
  api.statements.length = 0;
  const isNoticed = () => api.statements.some(({ text }) => text.includes("last_tenant"));
  while (!isNoticed()) held.push(...(await client.receive(queue, { maxMessages: 1 })));
  return { queue, held };
}

/** Receives, one a call and acknowledged at once, until a body comes; how many others came before. */
async function othersBefore(queue: string, body: string): Promise<number> {
  for (let others = 0; ; others += 1) {
    const messages = await client.receive(queue, { maxMessages: 1 });
    await client.acknowledge(queue, messages);
    if (bodiesOf(messages).includes(body)) return others;
  }
}

async function slicesOf(queue: string): Promise<{ group_id: string | null; messages: number }[]> {
  const slices = await broker.sql<{ group_id: string | null; messages: number }[]>`
    SELECT group_id, bit_count(pending::bit(64))::int AS messages FROM slices
    WHERE queue_id = ${await broker.idOf(queue)}::bigint`;
  return slices.sort((a, b) => ((a.group_id ?? "") < (b.group_id ?? "") ? -1 : 1));
}

describe("a slice never mixes groups", () => {
  const mixed = [...of("b", ["1", "2"]), "3", ...of("a", ["4"]), ...of("b", ["5"])];
  const parts = [
    { group_id: null, messages: 1 },
    { group_id: "a", messages: 1 },
    { group_id: "b", messages: 3 },
  ];

  test("when it is sent", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, mixed);
    expect(await slicesOf(queue)).toEqual(parts);
    expect((await client.finish(queue)).sort()).toEqual(["1", "2", "3", "4", "5"]);
  });

  test("when it is published", async () => {
    const queues = [await broker.newQueue(), await broker.newQueue()];
    const topic = await broker.newTopic(queues);
    await client.publish(topic, [
      ...mixed,
      { body: "6", groupId: 'NULL",{}\\' },
      { body: "7", groupId: "NULL" },
    ]);
    await broker.untilFannedOut();
    for (const queue of queues) {
      expect(await slicesOf(queue)).toEqual([
        parts[0],
        { group_id: "NULL", messages: 1 },
        { group_id: 'NULL",{}\\', messages: 1 },
        parts[1],
        parts[2],
      ]);
      expect((await client.finish(queue)).sort()).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
    }
  });

  test("and its parts keep the group: when it is received, changed, given back, dead", async () => {
    const pair = await newPair(broker);
    await client.send(pair.queue, of("a", numbered(9)));
    const messages = await client.receive(pair.queue, { maxMessages: 3 });
    await client.hide(pair.queue, messages.slice(0, 1), 100);
    await client.hide(pair.queue, messages.slice(1, 2), 0);
    expect((await slicesOf(pair.queue)).map((slice) => slice.group_id)).toEqual([
      "a",
      "a",
      "a",
      "a",
    ]);
    await bury(client, pair, of("a", ["more"]));
    expect(new Set((await slicesOf(pair.deadLetters)).map((slice) => slice.group_id))).toEqual(
      new Set(["a"]),
    );
  });
});

describe("while one tenant is noisy", () => {
  test("a message of another comes with the next receives, whatever waits before it", async () => {
    const { queue } = await noisyQueue(12_000);
    await client.send(queue, of("quiet", ["quiet"]));
    expect(await othersBefore(queue, "quiet")).toBeLessThanOrEqual(SOON);
  });

  test("a message without a group comes as soon, whatever waits before it", async () => {
    const { queue } = await noisyQueue(12_000);
    await client.send(queue, ["sent"]);
    expect(await othersBefore(queue, "sent")).toBeLessThanOrEqual(SOON);
    await client.publish(await broker.newTopic([queue]), ["published"]);
    await broker.untilFannedOut();
    expect(await othersBefore(queue, "published")).toBeLessThanOrEqual(SOON);
  });

  test("messages without a group are nobody's, however many are in flight", async () => {
    const { queue } = await noisyQueue(12_000);
    await client.send(queue, numbered(200, "groupless "));
    const held: string[] = [];
    while (held.filter((body) => body.startsWith("groupless")).length < 150)
      held.push(...bodiesOf(await client.receive(queue, { maxMessages: 20 })));
    // The next count sees them.
    api.statements.length = 0;
    while (!api.statements.some(({ text }) => text.includes("total.messages * 0.1"))) {
      await client.acknowledge(queue, await client.receive(queue, { maxMessages: 1 }));
    }
    await client.send(queue, ["one more"]);
    expect(await othersBefore(queue, "one more")).toBeLessThanOrEqual(80);
  });

  test("one from before the queue had tenants comes as soon, unless a lot waits before it", async () => {
    const { queue } = await noisyQueue(300);
    await client.send(queue, ["groupless"]);
    await broker.sql`
      UPDATE slices SET group_id = NULL WHERE queue_id = ${await broker.idOf(queue)}::bigint AND group_id = ''`;
    expect(await othersBefore(queue, "groupless")).toBeLessThanOrEqual(SOON);
  });

  test("many quiet tenants all get their turn, each message once", async () => {
    const { queue } = await noisyQueue(3_000);
    const quiet = numbered(300, "quiet ");
    await send(
      queue,
      quiet.map((body, tenant) => ({ body, groupId: `tenant ${tenant}` })),
    );
    const seen: string[] = [];
    let receives = 0;
    while (seen.filter((body) => body.startsWith("quiet")).length < quiet.length) {
      const engines = [client, otherProcess];
      const answers = await Promise.all(
        engines.map(async (one) => {
          const messages = await one.receive(queue, { maxMessages: 10 });
          await one.acknowledge(queue, messages);
          return bodiesOf(messages);
        }),
      );
      seen.push(...answers.flat());
      receives += 1;
    }
    expect(new Set(seen).size).toBe(seen.length);
    // Without fairness these would be the three thousand of the noisy one first.
    expect(seen.filter((body) => body.startsWith("noisy")).length).toBeLessThan(1_500);
    expect(receives).toBeLessThan(200);
  });

  test("it gets what it asks for where nobody else waits, to the last message", async () => {
    const { queue, held } = await noisyQueue(2_000);
    const messages = await client.drain(queue);
    expect(messages.length + held.length).toBe(2_100);
    expect(new Set([...messages, ...held].map((message) => message.messageId)).size).toBe(2_100);
  });

  test("a receive that hides nothing hands a quiet tenant's message out once", async () => {
    const { queue } = await noisyQueue(300);
    await client.send(queue, of("quiet", ["quiet"]));
    api.statements.length = 0;
    // After a look that found nobody else it is a moment until the next.
    while (!api.statements.some(({ text }) => text.includes("last_tenant"))) {
      const options = { maxMessages: 1_000, visibilityTimeout: 0 };
      const bodies = bodiesOf(await client.receive(queue, options));
      // Within the millisecond of the one before nothing is visible again.
      if (bodies.length > 0) expect(bodies).toContain("quiet");
      expect(new Set(bodies).size).toBe(bodies.length);
    }
  });

  test.each([
    ["is in a paused queue", { paused: true }, 0],
    ["has expired", { retention: 60 }, 61],
  ])("nothing is handed out that %s", async (_, settings, seconds) => {
    const { queue } = await noisyQueue(300);
    await client.send(queue, of("quiet", ["quiet"]));
    await change(client, queue, settings);
    await broker.clock.advance(seconds);
    api.statements.length = 0;
    while (!api.statements.some(({ text }) => text.includes("last_tenant")))
      expect(await client.receive(queue, { maxMessages: 10 })).toEqual([]);
  });

  test("a quiet tenant's message that fails too often is a dead letter as ever", async () => {
    const pair = await newPair(broker, 1, { visibilityTimeout: 600 });
    await send(pair.queue, of("noisy", numbered(2_000, "noisy ")));
    await client.receive(pair.queue, { maxMessages: 100 });
    await client.send(pair.queue, of("quiet", ["poison"]));
    const failed = new Set<string>();
    await until(async () => {
      const messages = await client.receive(pair.queue, { maxMessages: 1 });
      const poison = messages.filter((message) => message.body === "poison");
      for (const { body } of poison) failed.add(body);
      await client.hide(pair.queue, poison, 0);
      // Stored together: a receive of one leaves the others to be met with what failed.
      if (poison.length > 0) await client.send(pair.queue, of("other", numbered(5, "good ")));
      return (await broker.counts(pair.deadLetters)).visible > 0;
    });
    expect(failed.size).toBe(1);
    expect(await client.finish(pair.deadLetters)).toEqual(["poison"]);
  });
});

test("a tenant is noisy with 30 messages in flight, and not with 29", async () => {
  const queue = await broker.newQueue({ visibilityTimeout: 600 });
  const isAsked = (what: string) => api.statements.some(({ text }) => text.includes(what));
  const hold = async (bodies: readonly string[]) => {
    await client.send(queue, of("tenant", bodies));
    expect(await client.receive(queue, { maxMessages: 30 })).toHaveLength(bodies.length);
    api.statements.length = 0;
  };
  await hold(numbered(29));
  while (!isAsked("total.messages * 0.1")) await client.receive(queue);
  await client.receive(queue);
  expect(isAsked("last_tenant")).toBe(false);
  await hold(["30th"]);
  await until(async () => {
    await client.receive(queue);
    return isAsked("last_tenant");
  });
});

test("an even mix is handed out in the order in which it was sent", async () => {
  const queue = await broker.newQueue();
  const contents = numbered(120).map((body, index) => ({ body, groupId: `tenant ${index % 40}` }));
  await client.send(queue, contents);
  await client.send(queue, of("tenant 1", ["last"]));
  const messages = await client.drain(queue);
  expect(messages.at(-1)?.body).toBe("last");
});

/** Rows of slices that a statement came across. */
async function slicesRead(statement: Statement): Promise<number> {
  return nodesOf(await explain(api.sql, statement))
    .filter((node) => node["Relation Name"] === "slices")
    .reduce((sum, node) => sum + rowsRead(node), 0);
}

test("a look for quiet tenants reads a bounded number of slices, with 100,000 of the noisy one and 1,000 tenants", async () => {
  const { queue } = await noisyQueue(100);
  const id = await broker.idOf(queue);
  await broker.sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, group_id)
    SELECT ${id}::bigint, now - interval '10 minutes' + n * interval '1 millisecond', n, 1, 0, now,
           CASE WHEN n % 100 = 0 THEN 'tenant ' || n % 1000 / 10 || '/' || n % 7 ELSE 'noisy' END
    FROM generate_series(1, 100000) n, (SELECT clock_timestamp() AS now) clock`;
  await client.receive(queue, { maxMessages: 10 });
  const look = api.statements.findLast(({ text }) => text.includes("last_tenant"));
  const rows = await slicesRead(look!);
  // The front, a jump and some slices for each of 64 tenants, and what is taken.
  expect(rows).toBeGreaterThan(64);
  expect(rows).toBeLessThan(500 + 64 * 13 + 100);
});

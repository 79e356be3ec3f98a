import { afterAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { connectTraced } from "./statements.ts";

const broker = await Broker.start({ dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const dispatcher = await connectTraced(broker.databaseUrl);

const QUEUES = 1_000;

/** Makes queues and subscribes them to a topic, by the thousand. */
async function subscribeMany(topic: string, count: number): Promise<void> {
  await broker.sql`
    WITH made AS (
      INSERT INTO queues (account, name) SELECT 0, ${topic} || '-' || n FROM generate_series(1, ${count}::int) n RETURNING id
    )
    INSERT INTO subscriptions (id, account, topic_id, queue_id)
    SELECT gen_random_uuid(), 0, t.id, made.id FROM made, topics t WHERE t.name = ${topic}`;
}

async function whatWasWritten() {
  return await broker.sql<{ slices: number; batches: number }[]>`
    SELECT slices, batches FROM written WHERE slices > 0`;
}

test("a topic fans out to a thousand queues, a bounded number of slices at a time, each batch whole", async () => {
  const topic = await broker.newTopic();
  await subscribeMany(topic, QUEUES);
  for (let call = 0; call < 20; call += 1) await client.publish(topic, [`m${call}`]);
  // Each statement adds a line: how many slices, of how many batches.
  await broker.sql.unsafe(`
    CREATE TABLE written (slices int, batches int);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO written SELECT count(*), count(DISTINCT batch_id) FROM added; RETURN NULL; END $$;
    CREATE TRIGGER note AFTER INSERT ON slices REFERENCING NEW TABLE AS added
      FOR EACH STATEMENT EXECUTE FUNCTION note()`);
  await broker.clock.advance(60);
  await broker.startDispatcher(dispatcher);
  await broker.untilFannedOut();

  const written = await whatWasWritten();
  expect(written.reduce((sum, { slices }) => sum + slices, 0)).toBe(20 * QUEUES);
  for (const { slices, batches } of written) {
    expect(slices).toBe(batches * QUEUES);
    expect(slices).toBeLessThanOrEqual(5_000);
  }
  for (const queue of [`${topic}-1`, `${topic}-500`, `${topic}-1000`])
    expect(bodiesOf(await client.drain(queue)).sort()).toEqual(numbered(20).sort());
});

test("messages with a group each count one by one, in each queue", async () => {
  const topic = await broker.newTopic();
  await subscribeMany(topic, 16);
  await broker.sql`TRUNCATE written`;
  const grouped = Array.from({ length: 63 }, (_, n) => ({ body: `m${n}`, groupId: `g${n}` }));
  for (let call = 0; call < 20; call += 1) await client.publish(topic, grouped);
  await broker.untilFannedOut();
  const written = await whatWasWritten();
  expect(written.reduce((sum, { slices }) => sum + slices, 0)).toBe(20 * 63 * 16);
  for (const { slices } of written) expect(slices).toBeLessThanOrEqual(5_000);
});

test("a topic wider than the bound goes a batch at a time", async () => {
  const topic = await broker.newTopic();
  await subscribeMany(topic, 6_000);
  await client.publish(topic, numbered(100));
  await broker.untilFannedOut();
  expect(bodiesOf(await client.drain(`${topic}-6000`))).toEqual(numbered(100));
});

test("ten thousand topics are fanned out by the subscriptions of each one alone", async () => {
  const queue = await broker.newQueue();
  await broker.sql`INSERT INTO topics (account, name) SELECT 0, 'many-' || n FROM generate_series(1, 10000) n`;
  await broker.sql`
    INSERT INTO subscriptions (id, account, topic_id, queue_id)
    SELECT gen_random_uuid(), 0, id, ${await broker.idOf(queue)}::bigint FROM topics WHERE name LIKE 'many-%'`;
  const topics = Array.from({ length: 50 }, (_, index) => `many-${index * 200 + 1}`);
  await Promise.all(topics.map((topic) => client.publish(topic, [topic])));
  await broker.untilFannedOut();
  expect(bodiesOf(await client.drain(queue)).sort()).toEqual([...topics].sort());
});

test("a thousand filters of their own are all applied", async () => {
  const topic = await broker.newTopic();
  await subscribeMany(topic, QUEUES);
  await broker.sql`
    INSERT INTO filter_policies (account, scope, policy, hash)
    SELECT 0, 'MessageAttributes', '{"n":[' || n || ']}', sha256(n::text::bytea) FROM generate_series(1, ${QUEUES}::int) n`;
  await broker.sql`
    UPDATE subscriptions s SET filter_id = f.id
    FROM queues q, filter_policies f
    WHERE q.id = s.queue_id AND q.name LIKE ${`${topic}-%`} AND f.policy = '{"n":[' || split_part(q.name, '-', 3) || ']}'`;
  const messages = [7, 500, 1_000, 5_000].map((n) => ({
    body: String(n),
    attributes: { n: { type: "Number", value: String(n) } },
  }));
  await client.publish(topic, messages);
  await broker.untilFannedOut();
  for (const n of [7, 500, 1_000])
    expect(bodiesOf(await client.drain(`${topic}-${n}`))).toEqual([String(n)]);
  expect(bodiesOf(await client.drain(`${topic}-8`))).toEqual([]);
  expect((await broker.engine.topics.find(ACCOUNT, topic))?.name).toBe(topic);
});

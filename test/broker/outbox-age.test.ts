import { ageOfOutbox, watchOutbox } from "@sluice/engine";
import { createLogger } from "@sluice/runtime";
import { afterAll, expect, test, vi } from "vitest";

import { Broker } from "./broker.ts";
import { explain, last, nodesOf, rowsRead } from "./explain.ts";
import { connectTraced } from "./statements.ts";

const broker = await Broker.start({ dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const traced = await connectTraced(broker.databaseUrl, 1);
afterAll(() => traced.close());

/**
 * Batches of a topic that were published a while ago, a second after one another; in order where it is a FIFO topic.
 */
async function publishedAgo(seconds: number, { topicId = 1, batches = 1, fifo = false } = {}) {
  await broker.sql`
    INSERT INTO outbox (batch_id, account, topic_id, sent_at, message_count, sequence)
    SELECT ${topicId}::bigint * 1000000 + n, 0, ${topicId}::bigint, clock_timestamp() - (${seconds}::float8 + 1 - n) * interval '1 second', 1,
           CASE WHEN ${fifo} THEN n END
    FROM generate_series(1, ${batches}::int) n`;
}

test("the age of the outbox is that of the batch that has waited for longest, in order or not", async () => {
  expect(await ageOfOutbox(broker.sql)).toBe(0);
  const queue = await broker.newQueue();
  await broker.client().publish(await broker.newTopic([queue]), ["m"]);
  expect(await ageOfOutbox(broker.sql)).toBeLessThan(50);
  await publishedAgo(100, { topicId: 10, batches: 3 });
  expect(await ageOfOutbox(broker.sql)).toBeCloseTo(100, -1.5);
  await publishedAgo(200, { topicId: 11, batches: 3, fifo: true });
  await publishedAgo(300, { topicId: 12, batches: 3, fifo: true });
  expect(await ageOfOutbox(broker.sql)).toBeCloseTo(300, -1.5);
  // A clock was set back.
  await broker.sql`DELETE FROM outbox`;
  await publishedAgo(-100);
  expect(await ageOfOutbox(broker.sql)).toBe(0);
  await broker.sql`DELETE FROM outbox`;
});

test("a look reads the front of the outbox, and one batch of each FIFO topic", async () => {
  await publishedAgo(100_000, { topicId: 1, batches: 50_000 });
  for (let topicId = 2; topicId < 12; topicId += 1)
    await publishedAgo(100_000, { topicId, batches: 5_000, fifo: true });
  await broker.sql`VACUUM ANALYZE outbox`;
  traced.statements.length = 0;
  expect(await ageOfOutbox(traced.sql)).toBeGreaterThan(99_000);
  const nodes = nodesOf(await explain(traced.sql, last(traced.statements, "FROM outbox")));
  const looks = nodes.filter((node) => node["Relation Name"] === "outbox");
  expect(looks.filter((node) => node["Node Type"] === "Seq Scan")).toEqual([]);
  expect(looks.reduce((sum, node) => sum + rowsRead(node), 0)).toBeLessThan(30);
  await broker.sql`DELETE FROM outbox`;
});

test("the age is told at once, and that nobody knows it when nobody can look", async () => {
  const told: (number | undefined)[] = [];
  const failed: string[] = [];
  const logger = createLogger({ name: "test", level: "silent" });
  const observer = {
    outboxWaits: (seconds: number | undefined) => void told.push(seconds),
    dutyFailed: (duty: string) => void failed.push(duty),
  };
  const away = (() => Promise.reject(new Error("away"))) as unknown as typeof broker.sql;
  for (const sql of [broker.sql, away]) {
    const watch = watchOutbox({ sql, observer, logger });
    watch.start();
    const before = told.length;
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(before));
    await watch.stop();
  }
  expect(told).toEqual([0, undefined]);
  expect(failed).toEqual(["outbox metrics"]);
});

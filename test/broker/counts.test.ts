import { afterAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { holdTable, untilBlocked } from "./interleaving.ts";
import { connectTraced } from "./statements.ts";

const broker = await Broker.start({ engines: 0, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const api = await connectTraced(broker.databaseUrl);
await broker.startEngine(api);
const client = broker.client();

test("counts that are asked for at once share two statements, and none is older than its call", async () => {
  const queue = await broker.newQueue();
  const row = (await broker.engine.queues.find(ACCOUNT, queue))!;
  await client.send(queue, ["before"]);
  api.statements.length = 0;

  // Stops a statement that asks for the time, when its snapshot is taken.
  const held = await holdTable(broker.sql, "test_clock");
  const first = broker.engine.queues.counts(row);
  await untilBlocked(broker.sql);
  await broker.sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at)
    SELECT queue_id, visible_at, batch_id, 2, account, sent_at FROM slices WHERE queue_id = ${row.id}::bigint`;
  const others = Array.from({ length: 20 }, () => broker.engine.queues.counts(row));
  await held.letGo();

  expect((await first).visible).toBe(1);
  for (const { visible } of await Promise.all(others)) expect(visible).toBe(2);
  expect(api.statements.filter(({ text }) => text.includes("oldestMessageAge"))).toHaveLength(2);
});

test("counts of many queues leave connections to what else is asked", async () => {
  const settings = { visibilityTimeout: 600 };
  const names = await Promise.all(Array.from({ length: 8 }, () => broker.newQueue(settings)));
  const rows = [...(await broker.engine.queues.findAll(ACCOUNT, names)).values()];
  const [queue = ""] = names;
  await client.send(queue, ["m"]);
  const messages = await client.receive(queue);

  // Only counts read it.
  const held = await holdTable(broker.sql, "queue_totals");
  const counting = rows.map(async (row) => broker.engine.queues.counts(row));
  await untilBlocked(broker.sql, 2);
  expect(await client.hide(queue, messages, 600)).toEqual(["ok"]);
  await held.letGo();

  const counts = await Promise.all(counting);
  expect(counts.reduce((sum, { inFlight }) => sum + inFlight, 0)).toBe(1);
});

test("a count that fails fails alone", async () => {
  const queue = await broker.newQueue();
  const row = (await broker.engine.queues.find(ACCOUNT, queue))!;
  const wrong = { ...row, retention: Number.NaN };
  const failing = broker.engine.queues.counts(wrong);
  const next = broker.engine.queues.counts(row);
  await expect(failing).rejects.toThrow();
  expect((await next).visible).toBe(0);
  expect((await broker.engine.queues.counts(row)).visible).toBe(0);
});

test("counts of a FIFO queue with a delay are whole numbers, also where they are estimated, and no age is negative", async () => {
  const queue = await broker.newQueue({ fifo: true, contentBasedDeduplication: true, delay: 20 });
  const [clock] = await broker.sql<{ second: number }[]>`
    SELECT extract(second FROM clock_timestamp())::float8 AS second`;
  // The part of a minute that is over decides about what is estimated.
  await broker.clock.advance(61 - (clock?.second ?? 0));
  const messages = Array.from({ length: 1_500 }, (_, at) => ({
    groupId: `g${at}`,
    body: String(at),
  }));
  for (let at = 0; at < messages.length; at += 500)
    await client.send(queue, messages.slice(at, at + 500));
  const row = (await broker.engine.queues.find(ACCOUNT, queue))!;
  const { visible, delayed } = await broker.engine.queues.counts(row);
  expect([visible, delayed].map(Number.isInteger)).toEqual([true, true]);
  expect(delayed).toBeGreaterThan(0);
  await broker.clock.advance(-30);
  expect((await broker.engine.queues.counts(row)).oldestMessageAge).toBe(0);
});

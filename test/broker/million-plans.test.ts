import { createInProcessBus } from "@sluice/bus";
import { carryOnRedrives, cleanUp } from "@sluice/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { newPair } from "./dead-letters.ts";
import { last, rowsOf } from "./explain.ts";
import { until } from "./interleaving.ts";
import { connectTraced, lookFor, type Statement, type TracedDatabase } from "./statements.ts";

const MILLION = 1_000_000;
const BATCHES = 20_000;
const TABLES = ["slices", "batches", "outbox"];

const broker = await Broker.start({ engines: 0, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const api = await connectTraced(broker.databaseUrl);
await broker.startEngine(api);
const client = broker.client();
const seeding = broker.database.maintenance;

/**
 * Dead letters of `source`, a million of them, one a slice, which are dead letters of `deadLetters` when they fail
 * again.
 */
let queue: string;
let source: string;
/** A million of one tenant, and one in a hundred of a thousand others. */
let tenants: string;

/** No ANALYZE has seen them: the planner believes that the tables are all but empty. */
beforeAll(async () => {
  ({ queue } = await newPair(broker, 5));
  source = await broker.newQueue({ redrive: { deadLetterQueue: queue, maxReceiveCount: 5 } });
  tenants = await broker.newQueue({ visibilityTimeout: 600 });
  await seeding`
    INSERT INTO batches (id, account, sent_at, message_count, payload)
    SELECT 1e9 + n, 0, clock_timestamp(), 63, rtrim(repeat(E'"body":"m"\n', 63), E'\n') FROM generate_series(0, ${BATCHES - 1}::int) n`;
  await seed(queue, await broker.idOf(source), null);
  await seed(tenants, null, "noisy");
  await seeding`
    INSERT INTO outbox (batch_id, account, topic_id, sent_at, message_count)
    SELECT 2e9 + n, 0, 1e9, 'infinity', 1 FROM generate_series(1, ${MILLION}::int) n`;
}, 120_000);

/** Neighbours are of different batches, as messages that were sent one by one. */
async function seed(name: string, sourceId: string | null, group: string | null): Promise<void> {
  const id = await broker.idOf(name);
  await seeding`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, source_queue_id, group_id)
    SELECT ${id}::bigint, now - interval '20 minutes' + n * interval '1 millisecond', 1e9 + n % ${BATCHES}::int,
           1::bigint << n / ${BATCHES}::int, 0, now - interval '20 minutes', ${sourceId}::bigint,
           CASE WHEN n % 100 = 7 THEN ${group}::text || ' ' || n % 1000 ELSE ${group}::text END
    FROM generate_series(0, ${MILLION - 1}::int) n, (SELECT clock_timestamp() AS now) clock`;
  await seeding`INSERT INTO queue_ledger (account, queue_id, kind, messages) VALUES (0, ${id}::bigint, 'sent', ${MILLION}::int)`;
}

/** What a call asked of the hot tables. */
async function statementsOf(
  database: TracedDatabase,
  call: () => Promise<unknown>,
): Promise<Statement[]> {
  database.statements.length = 0;
  await call();
  const asked = database.statements.filter(({ text }) =>
    TABLES.some((table) => new RegExp(String.raw`\b${table}\b`).test(text)),
  );
  expect(asked.length).toBeGreaterThan(0);
  return asked;
}

/** Each statement of a call comes across so many rows at most, when it is run once more. */
async function expectBounded(
  call: () => Promise<unknown>,
  bound: number,
  database = api,
): Promise<void> {
  for (const statement of await statementsOf(database, call))
    expect(await rowsOf(database.sql, statement, TABLES), statement.text).toBeLessThanOrEqual(
      bound,
    );
}

describe("with a million slices of one message in a queue", () => {
  test("a receive reads what it takes", async () => {
    await expectBounded(() => client.receive(queue, { maxMessages: 10 }), 40);
    await expectBounded(() => client.receive(queue, { maxMessages: 1_000 }), 4_010);
  });

  test("a receive that looks for quiet tenants first reads some of each", async () => {
    const isNoticed = () => api.statements.some(({ text }) => text.includes("last_tenant"));
    for (let taken = 0; !isNoticed(); taken += 10) {
      expect(taken).toBeLessThan(100_000);
      await client.receive(tenants, { maxMessages: 10 });
    }
    const look = last(api.statements, "last_tenant");
    expect(await rowsOf(api.sql, look, TABLES)).toBeLessThan(500 + 64 * 13 + 100);
  });

  test("an acknowledgement finds each slice by one index entry", async () => {
    const messages = await client.receive(queue, { maxMessages: 100 });
    await expectBounded(() => client.acknowledge(queue, messages.slice(1)), 300);
  });

  test("a visibility change does, and an acknowledgement after it", async () => {
    const messages = await client.receive(queue, { maxMessages: 100 });
    await expectBounded(() => client.hide(queue, messages, 900), 400);
    await expectBounded(() => client.acknowledge(queue, messages.slice(1)), 400);
  });

  test("a receive reads what it moves to the dead-letter queue", async () => {
    const id = await broker.idOf(queue);
    await broker.sql`
      UPDATE slices SET receive_count = 5 WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM slices WHERE queue_id = ${id}::bigint AND visible_at < clock_timestamp() ORDER BY visible_at LIMIT 200))`;
    // After looks at 11 and at 44 dead letters the last one is at 176 slices.
    await expectBounded(() => client.receive(queue, { maxMessages: 10 }), 5 * 176);
    expect(broker.counted.deadLettered).toBeGreaterThan(0);
  });

  test("a waiting room asks for one index entry", async () => {
    const empty = await broker.newQueue();
    await expectBounded(() => lookFor(api, client, empty), 5);
  });

  test("counts read the front of the queue and what is hidden", async () => {
    const row = (await broker.engine.queues.find(ACCOUNT, queue))!;
    const { visible, inFlight } = await broker.engine.queues.counts(row);
    expect(visible).toBeGreaterThan(MILLION * 0.9);
    await expectBounded(() => broker.engine.queues.counts(row), 1_000 + inFlight);
  });

  test("a count of what is in flight reads it twice, where there are tenants", async () => {
    api.statements.length = 0;
    const isCount = ({ text }: Statement) => text.includes("total.messages * 0.1");
    while (!api.statements.some(isCount)) await client.receive(tenants);
    const count = api.statements.find(isCount)!;
    const { inFlight } = await broker.counts(tenants);
    expect(await rowsOf(api.sql, count, TABLES)).toBeLessThanOrEqual(2 * inFlight);
  });

  test("a page of a peek reads little more than it shows", async () => {
    await expectBounded(() => broker.engine.peek(ACCOUNT, queue, { limit: 10 }), 200);
  });

  test("a page of what is in one state does as well, whatever else there is", async () => {
    await client.receive(queue, { visibilityTimeout: 600 });
    await client.send(queue, [{ body: "m", delay: 900 }]);
    const { inFlight } = await broker.counts(queue);
    for (const order of ["oldest", "newest"] as const)
      for (const state of ["visible", "inFlight", "delayed"] as const) {
        const request = { state, order, limit: 10 };
        await expectBounded(() => broker.engine.peek(ACCOUNT, queue, request), 200 + inFlight);
      }
  });

  test("a delayed message is cancelled by one entry", async () => {
    const [id = ""] = await client.send(queue, [{ body: "m", delay: 600 }]);
    await expectBounded(() => broker.engine.cancelDelayed(ACCOUNT, queue, id), 10);
  });

  test("a step of a redrive reads what it moves", async () => {
    const row = (await broker.engine.queues.find(ACCOUNT, queue))!;
    const { id } = await broker.engine.redrives.start(row, { rate: 500 });
    const { observer } = broker;
    const signal = new AbortController().signal;
    const step = () =>
      carryOnRedrives({ sql: api.sql, bus: createInProcessBus(), observer, signal });
    await expectBounded(step, 3_100);
    await broker.engine.redrives.cancel(row, id);
  });

  test("a redrive passes what has nowhere to go in steps, and ends", async () => {
    const row = (await broker.engine.queues.find(ACCOUNT, tenants))!;
    const { observer } = broker;
    const signal = new AbortController().signal;
    const step = () =>
      carryOnRedrives({ sql: api.sql, bus: createInProcessBus(), observer, signal });
    const before = await broker.engine.redrives.start(row, {});
    await step();
    const { text, parameters } = last(api.statements, "FROM redrive_tasks t LEFT JOIN queues dlq");
    await broker.engine.redrives.cancel(row, before.id);
    const { id } = await broker.engine.redrives.start(row, {});
    const first = {
      text,
      parameters: parameters.map((value) => (value === before.id ? id : value)),
    };
    expect(await rowsOf(api.sql, first, TABLES)).toBeLessThanOrEqual(250_000);
    for (let steps = 1; (await step()) === "again"; steps += 1) expect(steps).toBeLessThan(12);
    expect(await broker.engine.redrives.find(row, id)).toMatchObject({ status: "completed" });
  });

  test("the clean-up of what has expired reads the front of each queue", async () => {
    api.upkeep.length = 0;
    await cleanUp(api.maintenance, { thorough: false });
    const settings = last(api.upkeep, "enable_bitmapscan");
    const step = last(
      api.upkeep,
      "- make_interval(secs => q.retention)\n        ORDER BY visible_at",
    );
    expect(await rowsOf(api.maintenance, step, TABLES, settings)).toBeLessThanOrEqual(10);
  });

  test("a step of a purge reads what it deletes", async () => {
    const few = await broker.newQueue();
    await client.send(few, ["m"]);
    api.upkeep.length = 0;
    await broker.engine.purge(ACCOUNT, few);
    const settings = last(api.upkeep, "enable_bitmapscan");
    const { text, parameters } = last(api.upkeep, "chunk AS MATERIALIZED");
    const [fewId, manyId] = [await broker.idOf(few), await broker.idOf(queue)];
    const ofMany = parameters.map((value) => (value === fewId ? manyId : value));
    const step = { text, parameters: ofMany };
    expect(await rowsOf(api.maintenance, step, TABLES, settings)).toBeLessThanOrEqual(20_000);
  });
});

test("with a million batches that wait, a fan-out reads its own, and the sweeper the first ones", async () => {
  const dispatcher = await connectTraced(broker.databaseUrl);
  await broker.startDispatcher(dispatcher);
  const subscribed = await broker.newQueue();
  const topic = await broker.newTopic([subscribed]);
  const fanOut = async () => {
    await client.publish(topic, ["m"]);
    await until(async () => (await client.receive(subscribed)).length > 0);
  };
  await expectBounded(fanOut, 50, dispatcher);
  dispatcher.statements.length = 0;
  const isSweep = ({ text }: Statement) => text.includes("FROM outbox") && text.includes("LIMIT");
  await until(() => Promise.resolve(dispatcher.statements.some(isSweep)));
  const sweep = dispatcher.statements.find(isSweep)!;
  expect(await rowsOf(dispatcher.sql, sweep, TABLES)).toBeLessThanOrEqual(1_000);
});

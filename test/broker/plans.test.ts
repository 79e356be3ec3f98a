import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { numbered } from "./client.ts";
import { explain, nodesOf, rowsRead, type Plan } from "./explain.ts";
import { until } from "./interleaving.ts";
import { connectTraced, lookFor, type Statement, type TracedDatabase } from "./statements.ts";

const SLICES = 200_000;
const HOT_TABLES = ["slices", "batches", "outbox"];

const broker = await Broker.start({ engines: 0, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const api = await connectTraced(broker.databaseUrl);
await broker.startEngine(api);
const dispatcher = await connectTraced(broker.databaseUrl);
await broker.startDispatcher(dispatcher);
const client = broker.client();
const direct = await connectTraced(broker.databaseUrl);
await broker.startEngine(direct, 3);

let queue: string;
let topic: string;

/**
 * A backlog of 200,000 slices in twenty queues, half of them in flight, and 20,000 batches that wait for their fan-out.
 */
beforeAll(async () => {
  queue = await broker.newQueue();
  const queues = [queue];
  for (let more = 1; more < 20; more += 1) queues.push(await broker.newQueue());
  topic = await broker.newTopic(queues);
  await broker.sql`
    INSERT INTO batches (id, account, sent_at, message_count, payload)
    SELECT 1e9 + n, 0, clock_timestamp(), 63, rtrim(repeat(E'"body":"m"\\n', 63), E'\\n') FROM generate_series(1, ${SLICES / 20}::int) n`;
  await broker.sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, lease, receive_count, moved)
    SELECT q.id, clock_timestamp() + (n % 2) * interval '1 hour', 1e9 + n, CASE n % 2 WHEN 1 THEN 3 ELSE 9223372036854775807 END, 0,
           clock_timestamp(), n % 2, n % 2, n % 100 = 1
    FROM generate_series(1, ${SLICES / 20}::int) n, queues q`;
  await broker.sql`
    INSERT INTO outbox (batch_id, account, topic_id, sent_at, message_count)
    SELECT 2e9 + n, 0, 1e9, 'infinity', 1 FROM generate_series(1, 20000) n`;
  // Subscriptions of other topics, so many that nobody would read them all.
  await broker.sql`
    WITH others AS (
      INSERT INTO topics (account, name) SELECT 0, 'other-' || n FROM generate_series(1, 500) n RETURNING id
    )
    INSERT INTO subscriptions (id, account, topic_id, queue_id)
    SELECT gen_random_uuid(), 0, others.id, q.id FROM others, queues q`;
  await broker.sql`ANALYZE`;
});

async function statementsOf(database: TracedDatabase, call: () => Promise<unknown>) {
  database.statements.length = 0;
  await call();
  return [...database.statements];
}

function named(statements: readonly Statement[], part: string): Statement {
  const found = statements.find(({ text }) => text.includes(part));
  if (!found) throw new Error(`no statement with ${part}`);
  return found;
}

/** Index → rows that were read through it, kept or not. */
function rowsByIndex(plan: Plan): Record<string, number> {
  const rows: Record<string, number> = {};
  for (const node of nodesOf(plan)) {
    const index = node["Index Name"];
    if (index === undefined) continue;
    rows[index] = (rows[index] ?? 0) + rowsRead(node);
  }
  return rows;
}

function expectNoScanOfHotTables(plan: Plan) {
  const scanned = nodesOf(plan).filter(
    (node) => node["Node Type"] === "Seq Scan" && HOT_TABLES.includes(node["Relation Name"] ?? ""),
  );
  expect(scanned).toEqual([]);
}

describe(`with ${SLICES.toLocaleString("en")} slices`, () => {
  test("a claim reads as many index entries as it takes slices", async () => {
    // The first one finds out how many messages a slice holds here.
    await client.receive(queue, { maxMessages: 1_000 });
    const statements = await statementsOf(api, () => client.receive(queue, { maxMessages: 1_000 }));
    const plan = await explain(api.sql, named(statements, "SKIP LOCKED"));
    expectNoScanOfHotTables(plan);
    expect(rowsByIndex(plan)["slices_visible"]).toBeLessThanOrEqual(20);
  });

  test("an acknowledge finds each slice by one index entry", async () => {
    const messages = await client.receive(queue, { maxMessages: 630 });
    const statements = await statementsOf(api, () => client.acknowledge(queue, messages.slice(1)));
    const exact = named(statements, "NOT s.moved");
    const plan = await explain(api.sql, exact);
    expectNoScanOfHotTables(plan);
    expect(rowsByIndex(plan)).toEqual({ slices_visible: expect.any(Number) });
    expect(rowsByIndex(plan)["slices_visible"]).toBeLessThanOrEqual(20);
  });

  test("an acknowledge of a slice whose visibility was changed reads the moved ones of its batch", async () => {
    const messages = await client.receive(queue, { maxMessages: 1 });
    await client.hide(queue, messages, 600);
    const statements = await statementsOf(api, () => client.acknowledge(queue, messages));
    const plan = await explain(api.sql, named(statements, "AND s.moved"));
    expectNoScanOfHotTables(plan);
    expect(Object.keys(rowsByIndex(plan))).toEqual(["slices_moved"]);
    expect(rowsByIndex(plan)["slices_moved"]).toBeLessThanOrEqual(5);
  });

  test("a visibility change finds each slice by one index entry, moved before or not", async () => {
    const messages = await client.receive(queue, { maxMessages: 63 });
    const exact = await statementsOf(api, () => client.hide(queue, messages.slice(5), 600));
    const exactPlan = await explain(api.sql, named(exact, "NOT s.moved"));
    expectNoScanOfHotTables(exactPlan);
    expect(rowsByIndex(exactPlan)["slices_visible"]).toBeLessThanOrEqual(10);
    const moved = await statementsOf(api, () => client.hide(queue, messages.slice(5), 900));
    const movedPlan = await explain(api.sql, named(moved, "AND s.moved"));
    expectNoScanOfHotTables(movedPlan);
    expect(Object.keys(rowsByIndex(movedPlan))).toEqual(["slices_moved"]);
  });

  test("a waiting room asks each queue for one index entry", async () => {
    const empty = await broker.newQueue();
    const plan = await explain(api.sql, await lookFor(api, client, empty));
    expectNoScanOfHotTables(plan);
    expect(rowsByIndex(plan)["slices_visible"]).toBeLessThanOrEqual(1);
  });

  test("a publish reads no hot table", async () => {
    const statements = await statementsOf(api, () =>
      client.publish(topic, numbered(100), "planned"),
    );
    const plan = await explain(api.sql, withNewKey(named(statements, "INSERT INTO outbox")));
    expectNoScanOfHotTables(plan);
    expect(Object.keys(rowsByIndex(plan)).filter((name) => name.startsWith("slices"))).toEqual([]);
  });

  test("a publish that is its own fan-out reads the subscriptions of its topics, and each queue of a batch once", async () => {
    const narrow = await broker.newTopic([queue, await broker.newQueue(), await broker.newQueue()]);
    const publish = (messages: number) => () =>
      broker.client(1).publish(narrow, numbered(messages), `direct-${messages}`);
    for (const batches of [1, 3]) {
      const statements = await statementsOf(direct, publish(63 * batches));
      const plan = await explain(direct.sql, withNewKey(named(statements, "INSERT INTO outbox")));
      expectNoScanOfHotTables(plan);
      const rows = rowsByIndex(plan);
      expect(Object.keys(rows).filter((name) => name.startsWith("slices"))).toEqual([]);
      // Once to count them, once for each batch.
      expect(rows["subscriptions_topic_queue"]).toBe(3 + 3 * batches);
      expect(rows["queues_pkey"]).toBeLessThanOrEqual(3 * batches);
    }
  });

  test("a send reads no hot table", async () => {
    const statements = await statementsOf(api, () => client.send(queue, numbered(100), "sent"));
    const plan = await explain(api.sql, withNewKey(named(statements, "INSERT INTO slices")));
    expectNoScanOfHotTables(plan);
    expect(Object.keys(rowsByIndex(plan)).filter((name) => name.startsWith("slices"))).toEqual([]);
  });

  test("a fan-out reads the outbox rows of its batches and the subscriptions of their topics", async () => {
    const statements = await statementsOf(dispatcher, async () => {
      await client.publish(topic, ["m"]);
      await until(async () => (await broker.waitingBatches()).length === 20_000);
    });
    const plan = await explain(
      dispatcher.sql,
      await withWaitingBatches(named(statements, "DELETE FROM outbox o USING evaluated")),
    );
    expectNoScanOfHotTables(plan);
    expect(rowsByIndex(plan)["outbox_pkey"]).toBeLessThanOrEqual(30);
  });

  test("a fan-out with filters reads the subscriptions of its topic twice, and each queue once", async () => {
    const filtered = await broker.newTopic();
    for (let count = 0; count < 20; count += 1) {
      const filterPolicy = { n: [count % 10] };
      await broker.engine.subscribe(ACCOUNT, filtered, await broker.newQueue(), { filterPolicy });
    }
    const statements = await statementsOf(dispatcher, async () => {
      const attributes = { n: { type: "Number", value: "1" } };
      await client.publish(filtered, [{ body: "m", attributes }]);
      await until(async () => (await broker.waitingBatches()).length === 20_000);
    });
    const evaluated = statements.find(({ parameters }) => parameters.some(isMasks));
    await waitAgain(evaluated!, filtered);
    const plan = await explain(dispatcher.sql, evaluated!);
    await broker.sql`DELETE FROM outbox WHERE batch_id = ${batchOf(evaluated!)}::bigint`;
    expectNoScanOfHotTables(plan);
    const rows = rowsByIndex(plan);
    expect(rows["outbox_pkey"]).toBeLessThanOrEqual(3);
    expect(rows["subscriptions_topic_queue"]).toBe(40);
    expect(rows["queues_pkey"]).toBeLessThanOrEqual(20);
  });

  test("a look for forgotten batches ends with the first ones", async () => {
    const id = await broker.engine.topics.find(ACCOUNT, topic);
    const statements = await statementsOf(dispatcher, async () => {
      await broker.sql`
        INSERT INTO outbox (batch_id, account, topic_id, sent_at, message_count)
        SELECT 1e8 + n, 0, ${id!.id}::bigint, clock_timestamp() - interval '1 hour', 1 FROM generate_series(1, 200) n`;
      await until(async () => (await broker.waitingBatches()).length === 20_000);
    });
    const plan = await explain(dispatcher.sql, named(statements, "LIMIT"));
    expectNoScanOfHotTables(plan);
  });
});

/** The same publish or send, with a key that is not taken. */
function withNewKey({ text, parameters }: Statement): Statement {
  const key = /^\{"(planned|sent|direct-\d+)"\}$/;
  // Batch ids begin at 1,024: no topic, queue or count of this test is that large, and the account has zeros in front.
  const batchIds = /^\{[1-9]\d{3,14}(,[1-9]\d{3,14})*\}$/;
  return {
    text,
    parameters: parameters.map((value) => {
      if (typeof value !== "string") return value;
      if (batchIds.test(value)) return value.replaceAll(/\d+/g, (id) => String(Number(id) + 5e9));
      return key.test(value) ? '{"another"}' : value;
    }),
  };
}

/** The same fan-out, of ten batches that wait. */
async function withWaitingBatches({ text, parameters }: Statement): Promise<Statement> {
  const ids = (await broker.waitingBatches()).slice(0, 10);
  const of = (each: number) => `{${ids.map(() => each).join()}}`;
  const [filters, masks, , , , maxSlices] = parameters;
  return { text, parameters: [filters, masks, `{${ids.join()}}`, of(1), of(0), maxSlices] };
}

/** What ten filters accept of a batch of one message. */
function isMasks(value: unknown): boolean {
  return typeof value === "string" && /^\{[01](,[01]){9}\}$/.test(value) && value.includes("1");
}

/** The batch of a fan-out, which has just gone, waits once more. */
async function waitAgain(fanOut: Statement, topicName: string): Promise<void> {
  const row = await broker.engine.topics.find(ACCOUNT, topicName);
  await broker.sql`
    INSERT INTO outbox (batch_id, account, topic_id, sent_at, message_count)
    VALUES (${batchOf(fanOut)}::bigint, 0, ${row!.id}::bigint, 'infinity', 1)`;
}

function batchOf({ parameters }: Statement): string {
  return /\d+/.exec(String(parameters[2]))?.[0] ?? "";
}

import type { Sql } from "@sluice/database";
import { createInProcessBus } from "@sluice/bus";
import { carryOnRedrives } from "@sluice/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import type { ReceivedMessage } from "./client.ts";
import { explain, last, nodesOf, pagesOf, rowsRead, type Plan } from "./explain.ts";
import { grouped } from "./fifo.ts";
import { connectTraced, type Statement } from "./statements.ts";

const GROUPS = 10_000;
const TABLES = ["fifo_groups", "fifo_slices", "deduplication_ids"];

const broker = await Broker.start({ engines: 0, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const api = await connectTraced(broker.databaseUrl);
await broker.startEngine(api);
const client = broker.client();

let queue: string;

/** A million dead letters: 98 in each of 10,000 groups, and 20,000 more in one; no ANALYZE has seen them. */
beforeAll(async () => {
  const seeding = broker.database.maintenance;
  queue = await broker.newQueue({ fifo: true, visibilityTimeout: 600 });
  const id = await broker.idOf(queue);
  const source = await broker.newQueue({
    fifo: true,
    redrive: { deadLetterQueue: queue, maxReceiveCount: 1 },
  });
  await seeding`
    INSERT INTO batches (id, account, sent_at, message_count, payload)
    SELECT 1e9, 0, clock_timestamp(), 63, rtrim(repeat(E'"body":"m"\\n', 63), E'\\n')`;
  await seeding`
    INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, sent_at, source_queue_id)
    SELECT ${id}::bigint, group_id, nextval('fifo_sequences'), 1e9, 1, 0, now, now, ${await broker.idOf(source)}::bigint
    FROM (SELECT 'g' || n % ${GROUPS}::int AS group_id FROM generate_series(1, ${98 * GROUPS}::int) n
          UNION ALL SELECT 'g1' FROM generate_series(1, 20000)) g, (SELECT clock_timestamp() AS now) clock`;
  await seeding`
    INSERT INTO fifo_groups (queue_id, group_id, account, available_at, head_sequence)
    SELECT queue_id, group_id, 0, min(visible_at), min(sequence) FROM fifo_slices GROUP BY queue_id, group_id`;
  await seeding`
    INSERT INTO deduplication_ids
    SELECT ${id}::bigint, '', 'd' || n, 0, (SELECT clock_timestamp()), gen_random_uuid(), '0' FROM generate_series(1, 20000) n`;
}, 120_000);

/** What a call asked of the FIFO tables, as each statement began. */
async function statementsOf(call: () => Promise<unknown>): Promise<Statement[]> {
  api.statements.length = 0;
  await call();
  return api.statements.filter(({ text }) => TABLES.some((table) => text.includes(table)));
}

/** The most rows of one table that one node of the statement's plan read; a scan of the whole table fails. */
async function mostRowsRead(sql: Sql, statement: Statement): Promise<number> {
  const nodes = nodesOf(await explain(sql, statement)).filter(readsTable);
  expect(nodes.filter((node) => node["Node Type"] === "Seq Scan")).toEqual([]);
  return Math.max(0, ...nodes.map(rowsRead));
}

function readsTable(node: Plan): boolean {
  return TABLES.includes(node["Relation Name"] ?? "") && node["Node Type"] !== "ModifyTable";
}

async function expectBounded(call: () => Promise<unknown>, bound: number): Promise<void> {
  const statements = await statementsOf(call);
  expect(statements.length).toBeGreaterThan(0);
  for (const statement of statements) {
    expect(await mostRowsRead(api.sql, statement), statement.text).toBeLessThanOrEqual(bound);
  }
}

describe(`with a million messages in ${GROUPS.toLocaleString("en")} groups`, () => {
  test("a waiting room asks each queue for one index entry", async () => {
    // Nobody has asked for another one yet.
    const empty = await broker.newQueue({ fifo: true });
    await expectBounded(() => client.receive(empty, { wait: 1 }), 1);
  });

  test("a receive reads the groups that it locks, and of each one no more than it takes", async () => {
    await expectBounded(() => client.receive(queue, { maxMessages: 10 }), 120);
  });

  test("a claim for many receives reads the groups that it locks, and locks no more than they need", async () => {
    const receives = () =>
      Promise.all(Array.from({ length: 20 }, () => client.receive(queue, { maxMessages: 10 })));
    // The first one finds out how many messages a group has here.
    await receives();
    await expectBounded(receives, 240);
  });

  test("it locks more of them when they have less than those before", async () => {
    const few = await broker.newQueue({ fifo: true });
    await client.send(few, grouped("many", 30));
    expect(await client.receive(few, { maxMessages: 30 })).toHaveLength(30);
    const singles = Array.from({ length: 40 }, (_, group) => grouped(`single${group}`, 1));
    await client.send(few, singles.flat());
    expect((await client.receive(few, { maxMessages: 20 })).length).toBeGreaterThanOrEqual(10);
  });

  test("counts read the ends of the queue and what is in flight", async () => {
    await client.receive(queue, { maxMessages: 10 });
    const row = await broker.engine.queues.find(ACCOUNT, queue);
    await expectBounded(() => broker.engine.queues.counts(row!), 1_000);
  });

  test("a receive of one message out of a group of thousands, and its acknowledgement, read the first ones", async () => {
    const long = await broker.newQueue({ fifo: true, visibilityTimeout: 600 });
    await broker.sql`
      INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, sent_at)
      SELECT ${await broker.idOf(long)}::bigint, 'long', nextval('fifo_sequences'), 1e9, 1, 0, now, now
      FROM generate_series(1, 20000), (SELECT clock_timestamp() AS now) clock`;
    await broker.sql`
      INSERT INTO fifo_groups (queue_id, group_id, account, available_at, head_sequence)
      SELECT queue_id, group_id, 0, min(visible_at), min(sequence) FROM fifo_slices WHERE group_id = 'long' GROUP BY queue_id, group_id`;
    let messages: ReceivedMessage[] = [];
    await expectBounded(async () => (messages = await client.receive(long)), 5);
    expect(messages).toHaveLength(1);
    const acknowledging = await statementsOf(() => client.acknowledge(long, messages));
    // Entries of an index that a scan passes are no rows, but pages.
    for (const statement of acknowledging)
      expect(await pagesOf(api.sql, statement), statement.text).toBeLessThanOrEqual(50);
  });

  test("an acknowledgement reads what it deletes, and the heads of its groups", async () => {
    const messages = await client.receive(queue, { maxMessages: 20 });
    expect(messages).toHaveLength(20);
    await expectBounded(() => client.acknowledge(queue, messages.slice(0, 5)), 60);
  });

  test("a visibility change reads what it moves, and what is in flight in its groups", async () => {
    const messages = await client.receive(queue, { maxMessages: 20 });
    await expectBounded(() => client.hide(queue, messages, 900), 60);
  });

  test("a receive of a thousand locks as many groups as have a thousand", async () => {
    await client.receive(queue, { maxMessages: 1_000 });
    await client.receive(queue, { maxMessages: 1_000 });
    const lock = last(api.statements, "SKIP LOCKED");
    expect(await mostRowsRead(api.sql, lock)).toBeLessThanOrEqual(1_200);
  });

  test("a send looks up its own groups and ids", async () => {
    await expectBounded(
      () => client.send(queue, [...grouped("g1", 20), ...grouped("new", 20)]),
      60,
    );
  });

  test("a page of a peek reads little more than it shows", async () => {
    await expectBounded(() => broker.engine.peek(ACCOUNT, queue, { limit: 10 }), 80);
  });

  test("a page of what is in flight reads the groups that are held", async () => {
    await client.receive(queue, { maxMessages: 10, visibilityTimeout: 600 });
    const { inFlight } = await broker.counts(queue);
    for (const order of ["oldest", "newest"] as const) {
      const request = { state: "inFlight", order, limit: 10 } as const;
      expect((await broker.engine.peek(ACCOUNT, queue, request)).messages).toHaveLength(10);
      await expectBounded(() => broker.engine.peek(ACCOUNT, queue, request), inFlight);
    }
  });

  test("nor does it look for something in each of the groups that are delayed", async () => {
    const delayed = await broker.newQueue({ fifo: true });
    await client.send(delayed, grouped("held", 1));
    await client.receive(delayed);
    await broker.sql`
      INSERT INTO fifo_groups (queue_id, group_id, account, available_at, head_sequence)
      SELECT ${await broker.idOf(delayed)}::bigint, 'g' || n, 0, now + interval '900 seconds', 1e9 + n
      FROM generate_series(1, 20000) n, (SELECT clock_timestamp() AS now) clock`;
    const [statement] = await statementsOf(async () => {
      const { messages } = await broker.engine.peek(ACCOUNT, delayed, { state: "inFlight" });
      expect(messages).toHaveLength(1);
    });
    expect(await pagesOf(api.sql, statement!)).toBeLessThanOrEqual(2_000);
  });

  test("a step of a redrive reads what it moves", async () => {
    await broker.engine.redrives.start((await broker.engine.queues.find(ACCOUNT, queue))!, {});
    const signal = new AbortController().signal;
    await expectBounded(
      () =>
        carryOnRedrives({
          sql: api.sql,
          bus: createInProcessBus(),
          observer: broker.observer,
          signal,
        }),
      5_000,
    );
  });
});

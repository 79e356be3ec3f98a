import type { Sql } from "@sluice/database";
import { createInProcessBus } from "@sluice/bus";
import { carryOnRedrives } from "@sluice/engine";
import { afterAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { newPair, type DeadLetterPair } from "./dead-letters.ts";
import { explain, last, nodesOf, rowsRead, type Plan } from "./explain.ts";
import { connectTraced, type Statement } from "./statements.ts";

const broker = await Broker.start({ engines: 0, dispatchers: 0 });
const traced = await connectTraced(broker.databaseUrl);
await broker.startEngine(traced);
afterAll(() => broker[Symbol.asyncDispose]());

const BACKLOG = 50_000;

/** Dead letters that no ANALYZE has seen: the planner believes that the table is all but empty. */
async function backlog({ queue, deadLetters }: DeadLetterPair): Promise<void> {
  await broker.sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, source_queue_id)
    SELECT ${await broker.idOf(deadLetters)}::bigint, now + (n - ${BACKLOG}::int) * interval '1 millisecond', n, 1, 0, now,
           ${await broker.idOf(queue)}::bigint
    FROM generate_series(1, ${BACKLOG}::int) n, (SELECT clock_timestamp() AS now) clock`;
  await broker.sql`
    INSERT INTO queue_ledger (account, queue_id, kind, messages)
    VALUES (0, ${await broker.idOf(deadLetters)}::bigint, 'deadLettersIn', ${BACKLOG}::int)`;
}

/** The most rows of slices that one node of the statement's plan read. */
async function mostRowsRead(sql: Sql, statement: Statement): Promise<number> {
  return Math.max(
    ...nodesOf(await explain(sql, statement))
      .filter(readsSlices)
      .map(rowsRead),
  );
}

function readsSlices(node: Plan): boolean {
  return node["Relation Name"] === "slices" || node["Node Type"].startsWith("Bitmap");
}

test("a step of a redrive reads what it moves and not the whole queue", async () => {
  const pair = await newPair(broker);
  await backlog(pair);
  const queue = await broker.engine.queues.find(ACCOUNT, pair.deadLetters);
  await broker.engine.redrives.start(queue!, {});
  const signal = new AbortController().signal;
  const { observer } = broker;
  await carryOnRedrives({ sql: traced.sql, bus: createInProcessBus(), observer, signal });
  const { visible } = await broker.counts(pair.deadLetters);
  expect(visible).toBeGreaterThan(BACKLOG / 2);
  expect(
    await mostRowsRead(traced.sql, last(traced.statements, "redrive_tasks t")),
  ).toBeLessThanOrEqual(1_001);
});

test("a claim reads what it takes and not the whole queue", async () => {
  const pair = await newPair(broker);
  await backlog(pair);
  await broker.client().receive(pair.deadLetters, { maxMessages: 10 });
  expect(await mostRowsRead(traced.sql, last(traced.statements, "lease_ids"))).toBeLessThanOrEqual(
    12,
  );
});

import type { Sql } from "@sluice/database";
import { createInProcessBus } from "@sluice/bus";
import { carryOnRedrives } from "@sluice/engine";
import { afterAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { newPair, type DeadLetterPair } from "./dead-letters.ts";
import { connectTraced, type Statement } from "./statements.ts";

/** How many rows a node of a plan came up with. */
interface Plan {
  "Node Type": string;
  "Relation Name"?: string;
  "Actual Rows": number;
  "Actual Loops": number;
  "Rows Removed by Filter"?: number;
  Plans?: Plan[];
}

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
async function mostRowsRead(sql: Sql, { text, parameters }: Statement): Promise<number> {
  let most = 0;
  const undo = new Error("undo");
  await sql
    .begin(async (tx) => {
      const rows = await tx.unsafe<{ "QUERY PLAN": { Plan: Plan }[] }[]>(
        `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`,
        parameters as never[],
      );
      const plan = rows[0]?.["QUERY PLAN"][0]?.Plan;
      most = Math.max(...nodesOf(plan!).filter(readsSlices).map(rowsRead));
      throw undo;
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error;
    });
  return most;
}

function nodesOf(plan: Plan): Plan[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
}

function readsSlices(node: Plan): boolean {
  return node["Relation Name"] === "slices" || node["Node Type"].startsWith("Bitmap");
}

function rowsRead(node: Plan): number {
  return (node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0)) * node["Actual Loops"];
}

function lastWith(part: string): Statement {
  const found = traced.statements.findLast(({ text }) => text.includes(part));
  if (!found) throw new Error(`no statement with ${part}`);
  return found;
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
  expect(await mostRowsRead(traced.sql, lastWith("redrive_tasks t"))).toBeLessThanOrEqual(1_001);
});

test("a claim reads what it takes and not the whole queue", async () => {
  const pair = await newPair(broker);
  await backlog(pair);
  await broker.client().receive(pair.deadLetters, { maxMessages: 10 });
  expect(await mostRowsRead(traced.sql, lastWith("lease_ids"))).toBeLessThanOrEqual(12);
});

import { afterAll, beforeAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { connectTraced, type Statement } from "./statements.ts";

interface Plan {
  "Node Type": string;
  "Relation Name"?: string;
  "Actual Rows": number;
  "Actual Loops": number;
  "Rows Removed by Filter"?: number;
  "Shared Hit Blocks": number;
  "Shared Read Blocks": number;
  Plans?: Plan[];
}

const BACKLOG = 1_000_000;
const EVENTS = 100_000;

const broker = await Broker.start({ engines: 0, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const traced = await connectTraced(broker.databaseUrl, 1);
await broker.startEngine(traced);
const client = broker.client();

let queue: string;
let waiting: string;
let inFlight: string;
let returned: string;
let givenBack: string;

/** A million messages, each a slice of its own, came to the queue after the first two and before the last two. */
beforeAll(async () => {
  queue = await broker.newQueue({ visibilityTimeout: 30 });
  [returned = ""] = await client.send(queue, ["returned"]);
  await client.receive(queue);
  [givenBack = ""] = await client.send(queue, ["given back"]);
  await client.hide(queue, await client.receive(queue), 0);
  await broker.clock.advance(60);
  const { maintenance } = broker.database;
  await maintenance`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at)
    SELECT ${await broker.idOf(queue)}::bigint, now - (${BACKLOG}::int - n) * interval '1 microsecond', 1e9 + n, 1, 0, now
    FROM generate_series(1, ${BACKLOG}::int) n, (SELECT clock_timestamp() AS now) clock`;
  await broker.sql`
    INSERT INTO message_events (account, block, kind, batch_ids, queue_ids, masks)
    SELECT 0, 1e7 + n, 'acknowledged', array_fill(1e9::bigint + n, '{32}'), array_fill(1, '{32}'), array_fill(1, '{32}')
    FROM generate_series(1, ${EVENTS}::int) n`;
  [waiting = ""] = await client.send(queue, ["waiting"]);
  [inFlight = ""] = await client.send(queue, ["in flight"]);
  await broker.sql`
    UPDATE slices SET visible_at = visible_at + interval '1 hour', receive_count = 1 WHERE batch_id = ${batchOf(inFlight)}::bigint`;
  await maintenance`VACUUM ANALYZE slices`;
}, 120_000);

test.each([
  ["waits", () => waiting, "waiting", 0],
  ["was given back", () => givenBack, "waiting", 0],
  ["is in flight", () => inFlight, "inFlight", 0],
  // In front of all of them; the index is walked, and no row of theirs is read.
  ["was received and came back", () => returned, "waiting", 12_000],
])(
  "with a million messages waiting, the trace of one that %s reads few rows",
  async (_, id, state, pages) => {
    traced.statements.length = 0;
    const { deliveries } = await broker.engine.trace(ACCOUNT, id());
    expect(deliveries).toMatchObject([{ queue, state }]);
    let blocks = 0;
    for (const statement of traced.statements.filter(({ text }) => text.includes("FROM"))) {
      const plan = await planOf(statement);
      const nodes = nodesOf(plan);
      expect(
        nodes.filter((node) => node["Node Type"] === "Seq Scan" && rowsRead(node) > 20),
      ).toEqual([]);
      expect(nodes.filter((node) => rowsRead(node) > 70)).toEqual([]);
      blocks += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
    }
    expect(blocks).toBeLessThan(300 + pages);
  },
);

function batchOf(messageId: string): number {
  return Number.parseInt(messageId.slice(-12), 16);
}

async function planOf({ text, parameters }: Statement): Promise<Plan> {
  const rows = await traced.sql.unsafe<{ "QUERY PLAN": { Plan: Plan }[] }[]>(
    `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`,
    parameters as never[],
  );
  return rows[0]!["QUERY PLAN"][0]!.Plan;
}

function nodesOf(plan: Plan): Plan[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
}

function rowsRead(node: Plan): number {
  return (node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0)) * node["Actual Loops"];
}

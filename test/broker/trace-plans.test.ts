import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { explain, nodesOf, rowsRead } from "./explain.ts";
import { connectTraced } from "./statements.ts";

const BACKLOG = 1_000_000;
/** Pages of the index of slices that the half of them is in that is in one queue. */
const OF_QUEUE = 2_700;
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

/**
 * A million messages, each a slice of its own, came to the queue and to one of another account after the first two
 * messages and before the last two.
 */
beforeAll(async () => {
  queue = await broker.newQueue({ visibilityTimeout: 30 });
  const { queue: other } = await broker.engine.queues.create("7", "of-another-account", {});
  await client.send(await broker.newQueue(), ["the first one on record"]);
  [returned = ""] = await client.send(queue, ["returned"]);
  await client.receive(queue);
  [givenBack = ""] = await client.send(queue, ["given back"]);
  await client.hide(queue, await client.receive(queue), 0);
  await broker.clock.advance(60);
  const { maintenance } = broker.database;
  await maintenance`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at)
    SELECT CASE WHEN n <= ${BACKLOG / 2}::int THEN ${await broker.idOf(queue)}::bigint ELSE ${other.id}::bigint END, now - (${BACKLOG}::int - n) * interval '1 microsecond', 1e9 + n, 1, 0, now
    FROM generate_series(1, ${BACKLOG}::int) n, (SELECT clock_timestamp() AS now) clock`;
  await broker.sql`
    INSERT INTO message_events (account, block, kind, batch_offsets, queue_ids, masks)
    SELECT 0, 1e7 + n, 'acknowledged', array_fill(1::smallint, '{32}'), array_fill(1::bigint, '{32}'), array_fill(3::bigint, '{32}')
    FROM generate_series(1, ${EVENTS}::int) n`;
  [waiting = ""] = await client.send(queue, ["waiting"]);
  [inFlight = ""] = await client.send(queue, ["in flight"]);
  await broker.sql`
    UPDATE slices SET visible_at = visible_at + interval '1 hour', receive_count = 1 WHERE batch_id = ${batchOf(inFlight)}::bigint`;
  await maintenance`VACUUM ANALYZE slices`;
}, 120_000);

describe("with a million messages waiting in two accounts, the trace of one", () => {
  test.each([
    ["that waits", () => waiting, "waiting", 0],
    ["that was given back", () => givenBack, "waiting", 0],
    ["that is in flight", () => inFlight, "inFlight", 0],
    // In front of all of them; the index is walked in its queue, and no row of theirs is read.
    ["that was received and came back", () => returned, "waiting", OF_QUEUE],
  ])("%s reads few rows", async (_, id, state, pages) => {
    expect(await pagesOfTrace(id(), state)).toBeLessThan(300 + pages);
  });

  test("that came before the record reads few rows", async () => {
    await broker.sql`TRUNCATE message_events`;
    await client.send(queue, ["the first one on record"]);
    expect(await pagesOfTrace(returned, "waiting")).toBeLessThan(300 + OF_QUEUE);
  });
});

async function pagesOfTrace(id: string, state: string): Promise<number> {
  traced.statements.length = 0;
  const { deliveries } = await broker.engine.trace(ACCOUNT, id);
  expect(deliveries).toMatchObject([{ queue, state }]);
  let pages = 0;
  for (const statement of traced.statements.filter(({ text }) => text.includes("FROM"))) {
    const plan = await explain(traced.sql, statement);
    const nodes = nodesOf(plan);
    expect(nodes.filter((node) => node["Node Type"] === "Seq Scan" && rowsRead(node) > 20)).toEqual(
      [],
    );
    expect(nodes.filter((node) => rowsRead(node) > 70)).toEqual([]);
    pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
  }
  return pages;
}

function batchOf(messageId: string): number {
  return Number.parseInt(messageId.slice(-12), 16);
}

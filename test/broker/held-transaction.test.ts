import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { Broker } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { last, pagesOf } from "./explain.ts";
import { holdWith, until, type Held } from "./interleaving.ts";
import { connectTraced, isLookAhead, type Statement } from "./statements.ts";

const broker = await Broker.start({ engines: 0, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const api = await connectTraced(broker.databaseUrl);
await broker.startEngine(api);
const dispatcher = await connectTraced(broker.databaseUrl);
const client = broker.client();

const DEAD = 20_000;

// Nothing that dies from here on can be removed, neither by vacuum nor by the scans that meet it.
let held: Held;
beforeAll(async () => {
  held = await holdWith(
    broker.sql,
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET LOCAL idle_in_transaction_session_timeout = 0; SELECT FROM queues",
  );
});
afterAll(() => held.letGo());

/**
 * What ten minutes of traffic leave in the index of claims: an entry where each slice was sent, one at its deadline.
 */
async function leaveDeadSlices(queue: string): Promise<void> {
  const id = await broker.idOf(queue);
  await broker.sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at)
    SELECT ${id}::bigint, clock_timestamp() - (n % 600) * interval '1 second', n, 1, 0, clock_timestamp()
    FROM generate_series(1, ${DEAD}::int) n`;
  await broker.sql`DELETE FROM slices WHERE queue_id = ${id}::bigint`;
}

/** The same claim, begun at the front of the queue. */
function fromTheFront({ text, parameters }: Statement): Statement {
  const place = Number(/\$(\d+)::bigint\[\]\s*\) AS r\(/.exec(text)?.[1]);
  return {
    text,
    parameters: parameters.map((value, index) => (index + 1 === place ? "{0}" : value)),
  };
}

describe("while a transaction keeps every dead slice where it is", () => {
  test("a claim does not read those before it, whether it finds something or not", async () => {
    const queue = await broker.newQueue();
    await leaveDeadSlices(queue);
    // The first one has to look at everything; it finds out where the others can begin.
    expect(await client.receive(queue)).toEqual([]);
    expect(await client.receive(queue)).toEqual([]);
    const empty = last(api.statements, "lease_ids");
    expect(await pagesOf(api.sql, fromTheFront(empty))).toBeGreaterThan(DEAD / 2);
    expect(await pagesOf(api.sql, empty)).toBeLessThan(DEAD / 50);

    await client.send(queue, ["m"]);
    expect(bodiesOf(await client.receive(queue))).toEqual(["m"]);
    expect(await pagesOf(api.sql, last(api.statements, "lease_ids"))).toBeLessThan(DEAD / 50);
  });

  test("a claim in a backlog does not read what was taken from it before", async () => {
    const queue = await broker.newQueue();
    const id = await broker.idOf(queue);
    await broker.sql`
      INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at)
      SELECT ${id}::bigint, clock_timestamp() - (${DEAD}::int - n) * interval '10 milliseconds', n, 1, 0, clock_timestamp()
      FROM generate_series(1, ${DEAD}::int) n`;
    await client.receive(queue, { maxMessages: 10 });
    await broker.sql`DELETE FROM slices WHERE queue_id = ${id}::bigint AND batch_id < ${DEAD - 1_000}::int`;
    await client.receive(queue, { maxMessages: 10 });
    // A mark of the floor lasts as long as a commit may take.
    await until(async () => {
      await client.receive(queue, { maxMessages: 1 });
      return (await pagesOf(api.sql, last(api.statements, "lease_ids"))) < DEAD / 50;
    });
  });

  test("an acknowledgement and a visibility change find their slices by their index, also when ANALYZE saw none", async () => {
    const queue = await broker.newQueue();
    await leaveDeadSlices(queue);
    await client.send(queue, ["m"]);
    const messages = await client.receive(queue);
    api.statements.length = 0;
    await client.hide(queue, messages, 60);
    await client.acknowledge(queue, messages);
    await broker.sql`ANALYZE slices`;
    // Not the looks of the waiting room, which may come at any time and read the dead slices of the other queues too.
    const bySlice = api.statements.filter(({ text }) => text.includes("s.lease = m.lease"));
    expect(bySlice.length).toBeGreaterThanOrEqual(2);
    for (const statement of bySlice)
      expect(await pagesOf(api.sql, statement), statement.text).toBeLessThan(DEAD / 100);
  });

  test("whoever waits asks for the near future only", async () => {
    const queue = await broker.newQueue();
    await leaveDeadSlices(queue);
    await client.receive(queue, { wait: 2 });
    const statement = last(api.statements.filter(isLookAhead), "waited_for");
    expect(await pagesOf(api.sql, statement)).toBeLessThan(DEAD / 50);
  });

  test("the sweeper looks at the batches of the last seconds", async () => {
    await broker.startDispatcher(dispatcher);
    await broker.sql`
      INSERT INTO outbox (batch_id, account, topic_id, sent_at, message_count)
      SELECT n, 0, 1, clock_timestamp() - (n % 600 + 20) * interval '1 second', 1 FROM generate_series(1, ${DEAD}::int) n`;
    await broker.sql`DELETE FROM outbox`;
    dispatcher.statements.length = 0;
    await until(() => Promise.resolve(dispatcher.statements.some(isSweep)));
    const sweep = dispatcher.statements.find(isSweep)!;
    expect(await pagesOf(dispatcher.sql, sweep)).toBeLessThan(DEAD / 50);
  });
});

/** The look at the last seconds; the other one has no bound. */
function isSweep({ text, parameters }: Statement): boolean {
  return text.includes("FROM outbox") && text.includes("LIMIT") && !parameters.includes(null);
}

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { Broker } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { last, pagesOf } from "./explain.ts";
import { grouped, one } from "./fifo.ts";
import { holdWith, until, type Held } from "./interleaving.ts";
import { connectTraced, isLookAhead, type Statement } from "./statements.ts";

const broker = await Broker.start({ engines: 0, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const api = await connectTraced(broker.databaseUrl);
await broker.startEngine(api);
const client = broker.client();

const DEAD = 20_000;
const LOCKS = "SKIP LOCKED";

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
 * What ten minutes of traffic leave in the index of claims: an entry for each time at which a group could be handed
 * out.
 */
async function leaveDeadGroups(queue: string): Promise<void> {
  const id = await broker.idOf(queue);
  await broker.sql`
    INSERT INTO fifo_groups (queue_id, group_id, account, available_at, head_sequence)
    SELECT ${id}::bigint, 'g' || n, 0, clock_timestamp() - (n % 600) * interval '1 second', 1
    FROM generate_series(1, ${DEAD}::int) n`;
  await broker.sql`DELETE FROM fifo_groups WHERE queue_id = ${id}::bigint`;
}

/** The same claim, begun at the front of the queue. */
function fromTheFront({ text, parameters }: Statement): Statement {
  const place = Number(/\$(\d+)::bigint \* interval '1 millisecond' AS floor/.exec(text)?.[1]);
  return { text, parameters: parameters.map((value, index) => (index + 1 === place ? 0 : value)) };
}

describe("while a transaction keeps every dead group where it is", () => {
  test("a claim does not read those before it, whether it finds something or not", async () => {
    const queue = await broker.newQueue({ fifo: true });
    await leaveDeadGroups(queue);
    // The first one has to look at everything; it finds out where the others can begin.
    expect(await client.receive(queue)).toEqual([]);
    expect(await client.receive(queue)).toEqual([]);
    const empty = last(api.statements, LOCKS);
    expect(await pagesOf(api.sql, fromTheFront(empty))).toBeGreaterThan(DEAD / 2);
    expect(await pagesOf(api.sql, empty)).toBeLessThan(DEAD / 50);

    await client.send(queue, grouped("a", 1));
    expect(bodiesOf(await client.receive(queue))).toEqual(["a0"]);
    expect(await pagesOf(api.sql, last(api.statements, LOCKS))).toBeLessThan(DEAD / 50);
  });

  test("a claim in a backlog of groups does not read what was handed out before", async () => {
    const queue = await broker.newQueue({ fifo: true });
    const id = await broker.idOf(queue);
    await broker.sql`
      INSERT INTO fifo_groups (queue_id, group_id, account, available_at, head_sequence)
      SELECT ${id}::bigint, 'g' || n, 0, clock_timestamp() - (${DEAD}::int - n) * interval '10 milliseconds', 0
      FROM generate_series(1, ${DEAD}::int) n`;
    await client.receive(queue, { maxMessages: 10 });
    await broker.sql`DELETE FROM fifo_groups WHERE queue_id = ${id}::bigint AND substr(group_id, 2)::int < ${DEAD - 1_000}::int`;
    await client.receive(queue, { maxMessages: 10 });
    // A mark of the floor lasts as long as a commit may take.
    await until(async () => {
      await client.receive(queue, { maxMessages: 1 });
      return (await pagesOf(api.sql, last(api.statements, LOCKS))) < DEAD / 50;
    });
  });

  test("whoever waits asks for the near future only", async () => {
    const queue = await broker.newQueue({ fifo: true });
    await leaveDeadGroups(queue);
    await client.receive(queue, { wait: 2 });
    const statement = last(api.statements.filter(isLookAhead), "waited_for");
    expect(await pagesOf(api.sql, statement)).toBeLessThan(DEAD / 50);
  });

  test("a group of which message after message is acknowledged is read from its head on", async () => {
    const queue = await broker.newQueue({ fifo: true });
    const id = await broker.idOf(queue);
    await client.send(queue, [one("hot", "first")]);
    await broker.sql`
      INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, sent_at)
      SELECT queue_id, group_id, nextval('fifo_sequences'), batch_id, 1, 0, visible_at, sent_at
      FROM fifo_slices, generate_series(1, ${DEAD}::int) WHERE queue_id = ${id}::bigint`;
    await broker.sql`
      DELETE FROM fifo_slices s USING (SELECT max(sequence) - 10 AS sequence FROM fifo_slices WHERE queue_id = ${id}::bigint) last
      WHERE queue_id = ${id}::bigint AND s.sequence BETWEEN 2 AND last.sequence
        AND s.sequence > (SELECT head_sequence FROM fifo_groups WHERE queue_id = ${id}::bigint)`;
    const messages = await client.receive(queue, { maxMessages: 2 });
    // This one still has to pass them; it finds the head that the others begin at.
    await client.acknowledge(queue, messages);
    api.statements.length = 0;
    await client.acknowledge(queue, await client.receive(queue, { maxMessages: 100 }));
    const statements = api.statements.filter(({ text }) => text.includes("fifo_slices"));
    // It counts what is alive: the planner believes that there is nothing to be read.
    await broker.sql`ANALYZE fifo_slices`;
    expect(statements.length).toBeGreaterThanOrEqual(4);
    for (const statement of statements)
      expect(await pagesOf(api.sql, statement), statement.text).toBeLessThan(DEAD / 50);
  });

  test("a group that was handed out again and again is found by its latest row", async () => {
    const queue = await broker.newQueue({ fifo: true });
    const id = await broker.idOf(queue);
    await client.send(queue, grouped("hot", 6));
    await broker.sql`
      INSERT INTO fifo_groups (queue_id, group_id, account, available_at, head_sequence)
      SELECT queue_id, group_id, 0, available_at - n * interval '10 milliseconds', head_sequence - n
      FROM fifo_groups, generate_series(1, ${DEAD}::int) n WHERE queue_id = ${id}::bigint`;
    await broker.sql`
      DELETE FROM fifo_groups WHERE queue_id = ${id}::bigint
        AND head_sequence < (SELECT min(sequence) FROM fifo_slices WHERE queue_id = ${id}::bigint)`;
    // The first claim begins at the front of the queue.
    await client.hide(queue, await client.receive(queue, { maxMessages: 2 }), 0);
    await client.receive(queue, { maxMessages: 2 });
    api.statements.length = 0;
    await client.send(queue, grouped("hot", 2, 10));
    const messages = await client.receive(queue, { maxMessages: 2 });
    await client.acknowledge(queue, messages);
    const statements = api.statements.filter(({ text }) => text.includes("fifo_"));
    expect(statements.length).toBeGreaterThanOrEqual(4);
    for (const statement of statements) {
      if (statement.text.includes("INSERT INTO batches")) continue;
      // Once a second somebody looks from the front of the queue on.
      if (statement.text.includes("waited_for") && !isLookAhead(statement)) continue;
      expect(await pagesOf(api.sql, statement), statement.text).toBeLessThan(DEAD / 200);
    }
  });
});

import { afterAll, expect, test } from "vitest";

import { Broker } from "./broker.ts";
import { until } from "./interleaving.ts";
import { connectTraced, type Statement } from "./statements.ts";

const broker = await Broker.start({ engines: 0, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const api = await connectTraced(broker.databaseUrl);
await broker.startEngine(api);
await broker.startEngine();
const client = broker.client();
const otherProcess = broker.client(1);

const LIMIT = 120_000;
const ALL = "9223372036854775807";

/** So many messages in slices of 63, received already or not. */
async function fill(queue: string, messages: number, received: boolean): Promise<void> {
  await broker.sql`
    INSERT INTO batches (id, account, sent_at, message_count, payload)
    SELECT 1e9 + n, 0, clock_timestamp(), 63, rtrim(repeat(E'"body":"m"\\n', 63), E'\\n')
    FROM generate_series(1, ${Math.floor(messages / 63)}::int) n ON CONFLICT DO NOTHING`;
  await broker.sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at, lease, receive_count)
    SELECT ${await broker.idOf(queue)}::bigint, clock_timestamp() + ${received ? 1 : 0}::int * interval '1 hour', 1e9 + n, ${ALL}::bigint, 0,
           clock_timestamp(), ${received ? 1 : 0}::int, ${received ? 1 : 0}::int
    FROM generate_series(1, ${Math.floor(messages / 63)}::int) n`;
}

/** Statements that count what is in flight, since the record was emptied. */
function countsMade(): Statement[] {
  return api.statements.filter(({ text }) => text.includes("43201"));
}

test("a receive that would pass 120,000 in flight is refused at once, also one that could wait", async () => {
  const queue = await broker.newQueue();
  await fill(queue, LIMIT - 5_000, true);
  await fill(queue, 10_000, false);
  const held = [];
  const refused = { code: "over_limit" };
  for (;;) {
    const messages = await client.receive(queue, { maxMessages: 1_000 }).catch((error: unknown) => {
      expect(error).toMatchObject(refused);
      return [];
    });
    if (messages.length === 0) break;
    held.push(...messages);
  }
  expect(held.length).toBeGreaterThan(4_000);
  expect((await broker.counts(queue)).inFlight).toBeLessThanOrEqual(LIMIT);
  await expect(client.receive(queue, { wait: 20 })).rejects.toMatchObject(refused);

  expect(await client.acknowledge(queue, held.slice(0, 1_000))).not.toContain(
    "receipt_handle_expired",
  );
  expect((await client.receive(queue, { maxMessages: 500 })).length).toBeGreaterThan(0);
});

test("what other processes hold counts as well", async () => {
  const queue = await broker.newQueue();
  await fill(queue, LIMIT + 63, true);
  await fill(queue, 5_000, false);
  let claimed = 0;
  await expect(async () => {
    for (;;) claimed += (await otherProcess.receive(queue, { maxMessages: 500 })).length;
  }).rejects.toMatchObject({ code: "over_limit" });
  // As much as a process takes before it counts for the first time.
  expect(claimed).toBeLessThanOrEqual(2_000);
});

test("what is delayed does not count", async () => {
  const queue = await broker.newQueue();
  await fill(queue, LIMIT + 63, true);
  await broker.sql`UPDATE slices SET receive_count = 0 WHERE queue_id = ${await broker.idOf(queue)}::bigint`;
  await fill(queue, 5_000, false);
  api.statements.length = 0;
  expect((await client.drain(queue)).length).toBeGreaterThan(4_000);
  expect(countsMade().length).toBeGreaterThan(0);
});

test("room that came free elsewhere is found by counting again", async () => {
  const queue = await broker.newQueue();
  await fill(queue, LIMIT, true);
  await fill(queue, 5_000, false);
  await expect(async () => {
    for (;;) await client.receive(queue, { maxMessages: 500 });
  }).rejects.toMatchObject({ code: "over_limit" });
  await broker.sql`DELETE FROM slices WHERE queue_id = ${await broker.idOf(queue)}::bigint AND lease = 1`;
  await until(async () => {
    const received = await client.receive(queue).catch(() => []);
    return received.length > 0;
  });
});

test("far from the limit it is counted once, at the limit again and again", async () => {
  const [queue, full] = [await broker.newQueue(), await broker.newQueue()];
  await fill(queue, 20_000, false);
  api.statements.length = 0;
  for (let round = 0; round < 20; round += 1) {
    const messages = await client.receive(queue, { maxMessages: 1_000 });
    await client.acknowledge(queue, messages);
  }
  expect(countsMade()).toHaveLength(1);
  await fill(full, LIMIT, true);
  await fill(full, 5_000, false);
  await until(async () => {
    await client.receive(full, { maxMessages: 1_000 }).catch(() => []);
    return countsMade().length > 3;
  });
});

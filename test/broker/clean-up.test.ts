import { cleanUp, CleanUpDuty } from "@sluice/engine";
import { createLogger } from "@sluice/runtime";
import { afterAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { holdWith } from "./interleaving.ts";

const broker = await Broker.start({ dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

async function run() {
  const result = await cleanUp(broker.database.maintenance);
  if (!result) throw new Error("somebody else cleans up");
  return result;
}

async function payloads(): Promise<number> {
  return (await broker.sql`SELECT FROM batches`).length;
}

test("a payload goes a minute after nobody can receive it any more, and not before", async () => {
  const [one, other] = [await broker.newQueue(), await broker.newQueue()];
  await client.send(one, ["m"]);
  await broker.sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at)
    SELECT ${await broker.idOf(other)}::bigint, visible_at, batch_id, pending, account, sent_at FROM slices`;
  await client.finish(one);
  await broker.clock.advance(100);
  expect(await run()).toMatchObject({ payloads: 0 });
  expect(await client.finish(other)).toEqual(["m"]);
  await client.send(one, ["young"]);
  await client.finish(one);
  expect(await run()).toMatchObject({ payloads: 1 });
  expect(await payloads()).toBe(1);
  await broker.clock.advance(61);
  expect(await run()).toMatchObject({ payloads: 1 });
});

test("a payload that waits for its fan-out stays", async () => {
  const topic = await broker.newTopic();
  await client.publish(topic, ["m"]);
  await broker.clock.advance(1_000);
  expect(await run()).toMatchObject({ payloads: 0 });
  expect(await broker.waitingBatches()).toHaveLength(1);
  await broker.sql`DELETE FROM outbox`;
  expect(await run()).toMatchObject({ payloads: 1 });
});

test("messages past the retention of their queue go, visible, delayed once or in flight; others stay", async () => {
  const [short, long] = [await broker.newQueue({ retention: 600 }), await broker.newQueue()];
  await client.send(short, ["visible", { body: "delayed", delay: 500 }]);
  await client.send(short, ["in flight"]);
  await client.receive(short, { visibilityTimeout: 40_000 });
  await client.send(long, ["kept"]);
  await broker.clock.advance(590);
  await client.send(short, ["young"]);
  await broker.clock.advance(20);
  expect(await run()).toMatchObject({ expiredSlices: 3 });
  expect(await client.finish(short)).toEqual(["young"]);
  expect(await client.finish(long)).toEqual(["kept"]);
});

test("a message that is delayed for longer than its queue keeps messages is kept from the end of its delay on", async () => {
  const queue = await broker.newQueue({ retention: 600 });
  await client.send(queue, [
    { body: "once", delay: 600 },
    { body: "twice", delay: 100_000 },
  ]);
  const row = await broker.engine.queues.find(ACCOUNT, queue);
  const counts = async () => await broker.engine.queues.counts(row!);
  await broker.clock.advance(550);
  expect(await counts()).toMatchObject({ delayed: 2, oldestMessageAge: 0 });
  await broker.clock.advance(550);
  expect(await run()).toMatchObject({ expiredSlices: 0 });
  expect(await client.finish(queue)).toEqual(["once"]);
  await broker.clock.advance(98_900);
  expect(await run()).toMatchObject({ expiredSlices: 0 });
  expect(await client.receive(queue, { visibilityTimeout: 400 })).toMatchObject([
    { body: "twice" },
  ]);
  await broker.clock.advance(550);
  expect(await client.receive(queue, { visibilityTimeout: 1 })).toMatchObject([
    { receiveCount: 2 },
  ]);
  await broker.clock.advance(60);
  expect(await client.receive(queue)).toEqual([]);
  expect(await run()).toMatchObject({ expiredSlices: 1 });
});

test("the messages of a deleted queue go, and so does the note of it an hour later", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, numbered(100));
  await broker.engine.queues.delete(ACCOUNT, queue);
  expect(await run()).toMatchObject({ deletedQueueSlices: 2 });
  expect(await broker.sql`SELECT FROM deleted_queues`).toHaveLength(1);
  await broker.clock.advance(3_601);
  await run();
  expect(await broker.sql`SELECT FROM deleted_queues`).toHaveLength(0);
});

test("what a clean-up leaves of a deleted queue when it is stopped goes with the next one", async () => {
  const queue = await broker.newQueue();
  await broker.sql`
    INSERT INTO batches (id, account, sent_at, message_count, payload)
    SELECT 5e12::bigint + n, 0, now(), 1, 'x' FROM generate_series(1, 25000) n`;
  await broker.sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at)
    SELECT ${await broker.idOf(queue)}::bigint, now(), 5e12::bigint + n, 1, 0, now() FROM generate_series(1, 25000) n`;
  await broker.engine.queues.delete(ACCOUNT, queue);
  // As long after the deletion as no dispatcher was there.
  await broker.clock.advance(3_700);
  const stopping = new AbortController();
  const stopped = cleanUp(broker.database.maintenance, { signal: stopping.signal });
  stopping.abort();
  await stopped;
  await run();
  expect(await broker.sql`SELECT FROM slices WHERE batch_id > 5e12::bigint LIMIT 1`).toEqual([]);
  expect(await payloads()).toBe(0);
});

test("a deleted queue is not forgotten while somebody holds what it leaves", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, ["m"]);
  await broker.engine.queues.delete(ACCOUNT, queue);
  await broker.clock.advance(3_700);
  const slices = await holdWith(broker.sql, "SELECT FROM slices FOR UPDATE");
  expect(await run()).toMatchObject({ deletedQueueSlices: 0 });
  await slices.letGo();
  expect(await run()).toMatchObject({ deletedQueueSlices: 1 });
  expect(await broker.sql`SELECT FROM deleted_queues`).toHaveLength(0);
});

test("what is in the middle of a change is left for the next time", async () => {
  const queue = await broker.newQueue({ retention: 60 });
  await client.send(queue, ["m"]);
  await broker.clock.advance(61);
  const slices = await holdWith(broker.sql, "SELECT FROM slices FOR UPDATE");
  expect(await run()).toMatchObject({ expiredSlices: 0 });
  await slices.letGo();
  expect(await run()).toMatchObject({ expiredSlices: 1 });
});

test("what is not thorough reads what it removes, however much there is", async () => {
  const [queue, fifoQueue] = [await broker.newQueue(), await broker.newQueue({ fifo: true })];
  const gone = await broker.newQueue();
  await client.send(gone, ["m"]);
  await broker.engine.queues.delete(ACCOUNT, gone);
  const [id, fifoId] = [await broker.idOf(queue), await broker.idOf(fifoQueue)];
  await broker.sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at)
    SELECT ${id}::bigint, clock_timestamp(), n, 1, 0, clock_timestamp() FROM generate_series(1, 30000) n`;
  await broker.sql`
    INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, sent_at)
    SELECT ${fifoId}::bigint, 'g', n, n, 1, 0, clock_timestamp(), clock_timestamp() FROM generate_series(1, 30000) n`;
  await broker.sql`
    INSERT INTO fifo_groups (queue_id, group_id, account, available_at, head_sequence)
    VALUES (${fifoId}::bigint, 'g', 0, clock_timestamp(), 1)`;
  await broker.sql`ANALYZE slices, fifo_slices, fifo_groups, queues, deleted_queues`;
  const sql = broker.database.maintenance;
  const read = async () => {
    await sql`SELECT pg_stat_force_next_flush()`;
    const [row] = await sql<{ rows: number }[]>`
      SELECT (sum(seq_tup_read) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('slices', 'fifo_slices')))::int AS rows
      FROM pg_stat_user_tables WHERE relname IN ('slices', 'fifo_slices')`;
    return row!.rows;
  };
  const before = await read();
  expect(await cleanUp(sql, { thorough: false })).toMatchObject({ deletedQueueSlices: 1 });
  expect((await read()) - before).toBeLessThan(100);
  for (const table of ["slices", "fifo_slices", "fifo_groups"])
    await broker.sql`DELETE FROM ${broker.sql(table)}`;
});

test("a large backlog goes in pieces, whole", async () => {
  const queue = await broker.newQueue({ retention: 60 });
  await broker.sql`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at)
    SELECT ${await broker.idOf(queue)}::bigint, now(), n, 1, 0, now() - interval '1 hour'
    FROM generate_series(1, 25000) n`;
  expect(await run()).toMatchObject({ expiredSlices: 25_000 });
});

test("what fails is told, and keeps nothing else from its turn, which may take ten minutes", async () => {
  const queue = await broker.newQueue({ retention: 60 });
  await client.send(queue, ["in flight"]);
  await client.receive(queue, { visibilityTimeout: 40_000 });
  await client.send(queue, ["visible"]);
  await broker.sql.unsafe(`
    INSERT INTO batches (id, account, sent_at, message_count, payload) VALUES (7e12::bigint, 0, now(), 1, 'x');
    CREATE TABLE timeouts (of_payloads text);
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
    CREATE TRIGGER refuse BEFORE DELETE ON slices FOR EACH ROW EXECUTE FUNCTION refuse();
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO timeouts VALUES (current_setting('statement_timeout')); RETURN old; END $$;
    CREATE TRIGGER note BEFORE DELETE ON batches FOR EACH ROW EXECUTE FUNCTION note()`);
  await broker.clock.advance(100);
  await expect(run()).rejects.toThrow("refused");
  expect(await broker.sql`SELECT FROM batches WHERE id = 7e12::bigint`).toEqual([]);
  expect((await broker.sql`SELECT of_payloads FROM timeouts`)[0]).toEqual({ of_payloads: "10min" });
  await broker.sql.unsafe("DROP TRIGGER refuse ON slices; DROP TRIGGER note ON batches");
  await run();
});

test("what has expired is counted, whatever fails after it", async () => {
  const duty = new CleanUpDuty({
    sql: broker.database.maintenance,
    observer: broker.observer,
    logger: createLogger({ name: "test", level: "silent" }),
  });
  await client.send(await broker.newQueue({ retention: 60 }), numbered(3));
  await broker.sql`CREATE TRIGGER refuse BEFORE DELETE ON batches FOR EACH ROW EXECUTE FUNCTION refuse()`;
  await broker.clock.advance(100);
  const { expired } = broker.counted;
  await expect(duty.runOnce()).rejects.toThrow("refused");
  expect(broker.counted.expired).toBe(expired + 3);
  await broker.sql`DROP TRIGGER refuse ON batches`;
});

test("one at a time cleans up; the others are told so", async () => {
  const lock = await holdWith(broker.sql, "SELECT pg_advisory_xact_lock(7583402002)");
  expect(await cleanUp(broker.database.maintenance)).toBeUndefined();
  await lock.letGo();
  expect(await cleanUp(broker.database.maintenance)).toBeDefined();
});

test("a receive whose payload was removed in its middle hands out the rest", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, ["gone"]);
  await client.send(queue, ["here"]);
  await broker.sql`DELETE FROM batches WHERE payload LIKE '%gone%'`;
  await broker.startEngine();
  expect(bodiesOf(await broker.client(1).receive(queue, { maxMessages: 2 }))).toEqual(["here"]);
});

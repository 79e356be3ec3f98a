import { createInProcessBus } from "@sluice/bus";
import { ReplayDuty } from "@sluice/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { last, pagesOf, rowsOf } from "./explain.ts";
import { grouped, newFifoTopic } from "./fifo.ts";
import { until } from "./interleaving.ts";
import { connectTraced, type Statement } from "./statements.ts";

const ARCHIVED = 200_000;
const WAITING = 20_000;
const GROUPS = 10_000;
const TABLES = [
  "archived_batches",
  "outbox",
  "fifo_groups",
  "fifo_slices",
  "slices",
  "deduplication_ids",
  "replays",
];

const broker = await Broker.start({ engines: 0, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const traced = await connectTraced(broker.databaseUrl);
await broker.startEngine(traced);
const dispatcher = await connectTraced(broker.databaseUrl);
const client = broker.client();

let topic: string;
/** A FIFO queue with a backlog, and a standard one. */
let queues: string[];

/**
 * A FIFO topic with an archive of 200,000 batches among that of another one, as many batches of other topics that wait,
 * and 100,000 messages of 10,000 groups in a queue; no ANALYZE has seen them.
 */
beforeAll(async () => {
  queues = [await broker.newQueue({ fifo: true }), await broker.newQueue()];
  topic = await newFifoTopic(broker, queues);
  await broker.engine.topics.update(ACCOUNT, topic, { archive: { days: 30 } });
  const other = await newFifoTopic(broker, []);
  await broker.engine.topics.update(ACCOUNT, other, { archive: { days: 30 } });
  const idOf = async (name: string) => (await broker.engine.topics.find(ACCOUNT, name))?.id ?? "";
  const queueId = await broker.idOf(queues[0] ?? "");
  await broker.sql`UPDATE topics SET archived_since = archived_since - interval '2 days'`;
  await broker.sql`
    INSERT INTO batches (id, account, sent_at, message_count, payload) SELECT 1e9, 0, clock_timestamp(), 1, '"body":"m"'`;
  await broker.sql`
    INSERT INTO archived_batches (topic_id, account, published_at, place, batch_id, message_count, group_ids, group_masks, fanned_out)
    SELECT of, 0, now - interval '1 day' + n * interval '100 ms', n, 1e9, 1, ARRAY['g' || n % ${GROUPS}::int], '{1}', pg_current_snapshot()
    FROM generate_series(1, ${ARCHIVED}::int) n, unnest(ARRAY[${await idOf(topic)}::bigint, ${await idOf(other)}]) of, (SELECT clock_timestamp() AS now) clock`;
  await broker.sql`
    INSERT INTO outbox (batch_id, account, topic_id, sent_at, message_count, sequence)
    SELECT 2e9 + n, 0, 1e9 + n % 2, 'infinity', 1, CASE n % 2 WHEN 1 THEN 1e9 + n END
    FROM generate_series(1, ${WAITING}::int) n`;
  await broker.sql`
    INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, sent_at)
    SELECT ${queueId}::bigint, 'g' || n % ${GROUPS}::int, nextval('fifo_sequences'), 1e9, 1, 0, now, now
    FROM generate_series(1, ${10 * GROUPS}::int) n, (SELECT clock_timestamp() AS now) clock`;
  await broker.sql`
    INSERT INTO fifo_groups (queue_id, group_id, account, available_at, head_sequence)
    SELECT queue_id, group_id, 0, min(visible_at), min(sequence) FROM fifo_slices GROUP BY queue_id, group_id`;
  await broker.sql`
    INSERT INTO deduplication_ids
    SELECT ${queueId}::bigint, '', 'd' || n, 0, (SELECT clock_timestamp()), gen_random_uuid(), '0' FROM generate_series(1, 20000) n`;
}, 120_000);

async function expectBounded(statements: readonly Statement[], bound: number): Promise<void> {
  const ofTables = statements.filter(({ text }) => TABLES.some((table) => text.includes(table)));
  expect(ofTables.length).toBeGreaterThan(0);
  for (const statement of ofTables)
    expect(await rowsOf(broker.sql, statement, TABLES), statement.text).toBeLessThanOrEqual(bound);
}

/** Fans out what was published here; the statements of that. */
async function fanOut(
  begin: () => Promise<unknown> = () => Promise.resolve(),
): Promise<Statement[]> {
  const waiting = await broker.sql<{ id: string }[]>`
    SELECT batch_id AS id FROM outbox WHERE batch_id < 1e9`;
  dispatcher.statements.length = 0;
  await begin();
  broker.engine.bus.announceBatches(waiting.map(({ id }) => id));
  await until(async () => (await broker.sql`SELECT FROM outbox WHERE batch_id < 1e9`).length === 0);
  return dispatcher.statements.filter(({ text }) =>
    /message_group_ids|DELETE FROM outbox|FOR UPDATE OF g/.test(text),
  );
}

describe(`with ${ARCHIVED.toLocaleString("en")} archived batches`, () => {
  test.each([
    ["a FIFO", 0, 64],
    ["a standard", 1, 500],
  ])(
    "a page of a replay to %s queue reads the batches that it delivers",
    async (_, which, page) => {
      const { items } = await broker.engine.subscriptions.list(ACCOUNT, undefined, {});
      const subscription = items.find(({ queue }) => queue === queues[which]);
      const [middle] = await broker.sql<{ at: number }[]>`
      SELECT extract(epoch FROM published_at)::float8 * 1000 AS at FROM archived_batches WHERE place = ${ARCHIVED / 2}::bigint LIMIT 1`;
      const from = { at: new Date(middle?.at ?? 0) };
      const { id } = await broker.engine.replay(ACCOUNT, subscription?.id ?? "", { from });
      traced.statements.length = 0;
      const duty = new ReplayDuty({
        sql: traced.sql,
        bus: createInProcessBus(),
        // After the first page.
        observer: { ...broker.observer, replayed: () => void duty.stop() },
      });
      await duty.runOnce();
      await duty.idle();
      const of = { id: subscription?.id ?? "", account: ACCOUNT };
      expect(await broker.engine.replays.find(of, id)).toMatchObject({ replayed: page });
      // As it was: a statement is looked at again with what it delivered.
      await broker.sql`UPDATE replays SET done_at = NULL, done_place = NULL WHERE id = ${id}::uuid`;
      const statements = traced.statements.filter(({ text }) => !text.includes("SET started_at"));
      // The batches, and as many groups.
      await expectBounded(statements, 2 * page + 10);
      const next = last(statements, "size.batches");
      const first = await pagesOf(broker.sql, next);
      await broker.sql`
        UPDATE replays r SET done_at = a.published_at, done_place = a.place FROM archived_batches a
        WHERE r.id = ${id}::uuid AND a.topic_id = r.topic_id AND a.place = ${ARCHIVED - 1_000}::bigint`;
      expect(await pagesOf(broker.sql, next)).toBeLessThanOrEqual(first + 5);
      await broker.engine.replays.cancel(of, id);
    },
  );

  test.each([0, 1])(
    "a replay locks no more than its rate has room for soon (queue %i)",
    async (which) => {
      const { items } = await broker.engine.subscriptions.list(ACCOUNT, undefined, {});
      const id = items.find(({ queue }) => queue === queues[which])?.id ?? "";
      const from = { at: new Date(0) };
      const replay = await broker.engine.replay(ACCOUNT, id, { from, rate: 1 });
      const duty = new ReplayDuty({
        sql: traced.sql,
        bus: createInProcessBus(),
        observer: broker.observer,
      });
      traced.statements.length = 0;
      await duty.runOnce();
      await duty.idle();
      const statements = traced.statements.filter(({ text }) => !text.includes("SET started_at"));
      await expectBounded(statements, 20);
      await broker.engine.replays.cancel({ id, account: ACCOUNT }, replay.id);
    },
  );

  test("replays look once at what waits of other topics, however many they are", async () => {
    await broker.sql`
      INSERT INTO outbox (batch_id, account, topic_id, sent_at, message_count)
      SELECT 3e9 + n, 0, 1e9, (SELECT clock_timestamp()), 1 FROM generate_series(1, ${WAITING}::int) n`;
    for (let count = 0; count < 3; count += 1) {
      const name = await broker.newTopic();
      await broker.engine.topics.update(ACCOUNT, name, { archive: { days: 30 } });
      const options = { replayFrom: { at: new Date() } };
      await broker.engine.subscribe(ACCOUNT, name, await broker.newQueue(), options);
    }
    const duty = new ReplayDuty({
      sql: traced.sql,
      bus: createInProcessBus(),
      observer: broker.observer,
    });
    traced.statements.length = 0;
    await duty.runOnce();
    await duty.idle();
    await broker.sql`UPDATE replays SET status = 'running' WHERE subscribed_by IS NOT NULL`;
    const look = last(traced.statements, "FROM outbox");
    expect(await rowsOf(broker.sql, look, ["outbox"])).toBeLessThanOrEqual(WAITING + 10);
    await broker.sql`DELETE FROM replays WHERE subscribed_by IS NOT NULL`;
    await broker.sql`DELETE FROM outbox WHERE batch_id > 3e9`;
  });
});

test("a fan-out of a FIFO topic reads what waits in front of it, and looks up its groups and ids", async () => {
  await client.publish(topic, [...grouped("g1", 40), ...grouped("new", 40)]);
  await broker.sql`CREATE TABLE saved AS SELECT * FROM outbox WHERE batch_id < 1e9`;
  // From here on its duties run by themselves, which the replays above would meet.
  const statements = await fanOut(() => broker.startDispatcher(dispatcher));
  // As it was: a statement is looked at again with what it took.
  await broker.sql`INSERT INTO outbox SELECT * FROM saved`;
  const take = statements.filter(({ text }) => text.includes("DELETE FROM outbox"));
  expect(take.length).toBeGreaterThanOrEqual(2);
  await expectBounded(statements, 100);
  await broker.sql`DELETE FROM outbox WHERE batch_id < 1e9`;
});

test("a message is found in the archive by its time, and the newest ones at its end", async () => {
  const [messageId = ""] = await client.publish(topic, grouped("found", 1));
  await fanOut();
  const row = await broker.engine.topics.find(ACCOUNT, topic);
  traced.statements.length = 0;
  await broker.engine.replays.rangeOf(row!, { from: { messageId } });
  await broker.engine.matchArchived(ACCOUNT, topic, { last: 10 });
  await expectBounded(traced.statements, 12);
});

test("a message that a standard topic does not have is not looked for in all that it has", async () => {
  const standard = await broker.newTopic();
  await broker.engine.topics.update(ACCOUNT, standard, { archive: { days: 30 } });
  const row = await broker.engine.topics.find(ACCOUNT, standard);
  const [messageId = ""] = await client.send(await broker.newQueue(), ["sent"]);
  await broker.sql`
    INSERT INTO archived_batches (topic_id, account, published_at, place, batch_id, message_count, fanned_out)
    SELECT ${row!.id}::bigint, 0, now + n * interval '1 ms', n, 1e9, 1, pg_current_snapshot()
    FROM generate_series(1, ${WAITING}::int) n, (SELECT clock_timestamp() AS now) clock`;
  traced.statements.length = 0;
  await expect(broker.engine.replays.rangeOf(row!, { from: { messageId } })).rejects.toMatchObject({
    code: "message_not_found",
  });
  await expectBounded(traced.statements, 12);
});

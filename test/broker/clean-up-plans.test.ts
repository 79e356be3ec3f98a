import { cleanUp } from "@sluice/engine";
import { afterAll, beforeAll, expect, test } from "vitest";

import { Broker } from "./broker.ts";
import { explain, nodesOf, pagesOf, rowsRead } from "./explain.ts";
import { connectTraced } from "./statements.ts";

const ROWS = 100_000;

const broker = await Broker.start({ engines: 0, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const traced = await connectTraced(broker.databaseUrl, 1);
afterAll(() => traced.close());

/** As many ids of deduplication, attempts and keys as an hour of messages brings; few of them have to go. */
beforeAll(async () => {
  const { sql } = broker;
  const at = sql`clock_timestamp() + n * interval '1 second' - interval '400 seconds'`;
  await sql`
    INSERT INTO deduplication_ids (queue_id, scope, deduplication_id, account, accepted_at, message_id, sequence_number)
    SELECT 1, '', n, 0, ${at}, gen_random_uuid(), n FROM generate_series(1, ${ROWS}::int) n`;
  await sql`
    INSERT INTO topic_deduplication_ids (topic_id, scope, deduplication_id, account, accepted_at, message_id, sequence_number)
    SELECT 1, '', n, 0, ${at}, gen_random_uuid(), n FROM generate_series(1, ${ROWS}::int) n`;
  await sql`
    INSERT INTO receive_attempts (queue_id, attempt_id, account, lease, sequences, message_count, received_at)
    SELECT 1, n, 0, 1, '{}', 1, ${at} FROM generate_series(1, ${ROWS}::int) n`;
  await sql`
    INSERT INTO idempotency_keys (account, key, target_kind, target_id, message_count, stored_call, created_at)
    SELECT 0, 'key ' || n, 'queue', 1, 1, '', ${at} FROM generate_series(1, ${ROWS}::int) n`;
  await sql`VACUUM ANALYZE deduplication_ids, topic_deduplication_ids, receive_attempts, idempotency_keys`;
});

test.each(["deduplication_ids", "topic_deduplication_ids", "receive_attempts", "idempotency_keys"])(
  "what is out of date of %s is found by its time, and nothing else is read",
  async (table) => {
    traced.upkeep.length = 0;
    await cleanUp(traced.maintenance);
    const byTime = new RegExp(
      String.raw`DELETE FROM "?${table}"? WHERE ctid[^;]*(accepted|received|created)_at <`,
    );
    const statements = traced.upkeep.filter(({ text }) => byTime.test(text));
    expect(statements).not.toEqual([]);
    for (const statement of statements) {
      const nodes = nodesOf(await explain(traced.maintenance, statement));
      expect(nodes.filter((node) => node["Node Type"] === "Seq Scan")).toEqual([]);
      expect(nodes.some((node) => node["Index Name"] !== undefined)).toBe(true);
      expect(Math.max(...nodes.map(rowsRead))).toBeLessThan(1_000);
    }
  },
);

test("of a FIFO group with a long backlog the clean-up reads what has expired, while sends wait for the group", async () => {
  const [queue] = await broker.sql<{ id: string }[]>`
    INSERT INTO queues (account, name, fifo, retention) VALUES (0, 'long.fifo', true, 3600) RETURNING id`;
  await broker.sql`
    INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, sent_at)
    SELECT ${queue!.id}::bigint, 'long', nextval('fifo_sequences'), 1e9, 1, 0, at, at
    FROM generate_series(1, 20000) n, LATERAL (SELECT clock_timestamp() - interval '3700 s' + n * interval '1 s' AS at) sent`;
  await broker.sql`
    INSERT INTO fifo_groups (queue_id, group_id, account, available_at, head_sequence)
    SELECT queue_id, group_id, 0, min(visible_at), min(sequence) FROM fifo_slices GROUP BY queue_id, group_id`;
  traced.upkeep.length = 0;
  const removed = await cleanUp(traced.maintenance, { thorough: false });
  expect(removed?.expiredMessages).toBeGreaterThanOrEqual(100);
  expect(removed?.expiredMessages).toBeLessThan(1_000);
  const statements = traced.upkeep.filter(({ text }) =>
    /DELETE FROM fifo_slices WHERE ctid/.test(text),
  );
  expect(statements).not.toEqual([]);
  for (const statement of statements)
    expect(await pagesOf(traced.maintenance, statement)).toBeLessThanOrEqual(100);
});

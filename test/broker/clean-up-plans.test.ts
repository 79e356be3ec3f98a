import { cleanUp } from "@sluice/engine";
import { afterAll, beforeAll, expect, test } from "vitest";

import { Broker } from "./broker.ts";
import { explain, nodesOf, rowsRead } from "./explain.ts";
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

import { cleanUp, CleanUpDuty, TableMaintenance } from "@sluice/engine";
import { createLogger } from "@sluice/runtime";
import { afterAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { holdWith, until } from "./interleaving.ts";

const broker = await Broker.start({ dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());

// Whether a table has dead rows is for the test to say: the automatic vacuum comes when it likes.
for (const table of ["slices", "batches", "idempotency_keys"])
  await broker.sql`ALTER TABLE ${broker.sql(table)} SET (autovacuum_enabled = false)`;

const MIB = 1024 * 1024;

function newMaintenance({
  smallIndex,
  onEvent = () => {},
}: { smallIndex?: number; onEvent?: (event: string) => void } = {}) {
  const seconds: (number | undefined)[] = [];
  const observer = {
    ...broker.observer,
    horizonHeld: (held: number | undefined) => void seconds.push(held),
  };
  const write = (line: string) => {
    onEvent((JSON.parse(line) as { event: string }).event);
  };
  const logger = createLogger({ name: "test", level: "warn", stream: { write } });
  const sql = broker.database.maintenance;
  const tables = new TableMaintenance({
    sql,
    observer,
    logger,
    ...(smallIndex !== undefined && { smallIndex }),
  });
  return { tables, seconds };
}

async function sizes(): Promise<Record<string, number>> {
  const rows = await broker.sql<{ name: string; bytes: number }[]>`
    SELECT relname AS name, pg_relation_size(oid)::float8 AS bytes FROM pg_class
    WHERE relname IN ('slices', 'slices_visible', 'batches', 'batches_pkey', 'idempotency_keys', 'idempotency_keys_pkey')`;
  return Object.fromEntries(rows.map(({ name, bytes }) => [name, bytes]));
}

/** What the server has counted is known to all sessions now. */
async function untilDeadRowsAreKnown(table: string, rows: number): Promise<void> {
  await until(async () => {
    const [row] = await broker.sql<{ dead: number }[]>`
      SELECT n_dead_tup::int AS dead FROM pg_stat_user_tables WHERE relname = ${table}`;
    return (row?.dead ?? 0) >= rows;
  });
}

/** By a connection that gives its statements two minutes. */
async function fill(queue: string, slices: number): Promise<void> {
  const id = await broker.idOf(queue);
  const { maintenance } = broker.database;
  await maintenance`
    INSERT INTO batches (id, account, sent_at, message_count, payload)
    SELECT ${id}::bigint * 1e9 + n, 0, pg_catalog.clock_timestamp(), 1, repeat('x', 200) FROM generate_series(1, ${slices}::int) n`;
  await maintenance`
    INSERT INTO slices (queue_id, visible_at, batch_id, pending, account, sent_at)
    SELECT ${id}::bigint, pg_catalog.clock_timestamp(), ${id}::bigint * 1e9 + n, 1, 0, pg_catalog.clock_timestamp()
    FROM generate_series(1, ${slices}::int) n`;
}

test("after a drain of 300,000 batches tables and indexes are small again", async () => {
  const queue = await broker.newQueue();
  await fill(queue, 300_000);
  expect((await sizes())["slices_visible"]).toBeGreaterThan(8 * MIB);
  await broker.engine.purge(ACCOUNT, queue);
  await broker.clock.advance(61);
  expect(await cleanUp(broker.database.maintenance)).toMatchObject({ payloads: 300_000 });
  await untilDeadRowsAreKnown("slices", 300_000);
  await untilDeadRowsAreKnown("batches", 300_000);
  await newMaintenance().tables.runOnce();
  const after = await sizes();
  expect(after["slices_visible"]).toBeLessThan(MIB);
  expect(Object.values(after).reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(16 * MIB);
});

test("a table whose last row goes later than all others is small again as well", async () => {
  const queue = await broker.newQueue();
  await fill(queue, 120_000);
  await broker.sql`DELETE FROM slices`;
  await broker.sql`DELETE FROM batches WHERE ctid <> (SELECT max(ctid) FROM batches)`;
  await untilDeadRowsAreKnown("batches", 119_999);
  await newMaintenance().tables.runOnce();
  expect((await sizes())["batches"]).toBeGreaterThan(16 * MIB);
  await broker.sql`DELETE FROM batches`;
  await broker.clock.advance(31);
  await until(async () => {
    await newMaintenance().tables.runOnce();
    return (await sizes())["batches"] === 0;
  });
});

test("keys that have just been removed leave no large index behind", async () => {
  await broker.database.maintenance`
      INSERT INTO idempotency_keys (account, key, target_kind, target_id, message_count, stored_call)
      SELECT 0, 'key ' || n, 'queue', 1, 1, '' FROM generate_series(1, 400000) n`;
  await broker.clock.advance(301);
  expect(await cleanUp(broker.database.maintenance)).toMatchObject({ idempotencyKeys: 400_000 });
  await newMaintenance().tables.runOnce();
  const after = await sizes();
  expect(after["idempotency_keys"]).toBe(0);
  expect(after["idempotency_keys_pkey"]).toBeLessThan(MIB);
});

test("a table whose vacuum takes too long rests, and keeps no other from its turn", async () => {
  await fill(await broker.newQueue(), 20_000);
  await broker.sql`DELETE FROM slices`;
  await broker.sql`
    INSERT INTO idempotency_keys (account, key, target_kind, target_id, message_count, stored_call)
    SELECT 0, 'short ' || n, 'queue', 1, 1, '' FROM generate_series(1, 5000) n`;
  await broker.sql`DELETE FROM idempotency_keys`;
  await untilDeadRowsAreKnown("slices", 20_000);
  await untilDeadRowsAreKnown("idempotency_keys", 5_000);
  const vacuums = await vacuumsOf("idempotency_keys");
  // A vacuum skips tables that are locked, and waits for their indexes.
  const held = await holdWith(broker.sql, "ALTER INDEX slices_visible SET TABLESPACE pg_default");
  const events: string[] = [];
  let letGo: Promise<void> | undefined;
  const { tables } = newMaintenance({
    onEvent: (event) => {
      events.push(event);
      letGo ??= held.letGo();
    },
  });
  const running = tables.runOnce();
  // As when it has taken as long as a statement may.
  await until(async () => {
    const ended = await broker.sql`
      SELECT pg_cancel_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'VACUUM%slices%'`;
    return ended.length > 0;
  });
  await running;
  await (letGo ?? held.letGo());
  expect(await vacuumsOf("idempotency_keys")).toBeGreaterThan(vacuums);
  expect(events).toEqual(["maintenance.table-failed"]);
});

test("an index that is large for its rows is rebuilt once, and again when half of them have gone", async () => {
  await broker.sql`
      INSERT INTO idempotency_keys (account, key, target_kind, target_id, message_count, stored_call)
      SELECT 0, repeat('k', 400) || n, 'queue', 1, 1, '' FROM generate_series(1, 60000) n`;
  await broker.sql`VACUUM ANALYZE idempotency_keys`;
  const { tables } = newMaintenance();
  const size = async () => (await sizes())["idempotency_keys_pkey"]!;
  const file = async () =>
    await broker.sql`SELECT pg_relation_filenode('idempotency_keys_pkey') AS file`;
  const first = await file();
  await tables.runOnce();
  const rebuilt = await file();
  expect(rebuilt).not.toEqual(first);
  expect(await size()).toBeGreaterThan(20 * MIB);
  const vacuums = await vacuumsOf("slices");
  await fill(await broker.newQueue(), 5_000);
  await broker.sql`DELETE FROM slices`;
  await untilDeadRowsAreKnown("slices", 5_000);
  // It rests after a run that took long; that it looked around again shows by the other table.
  await until(async () => {
    await tables.runOnce();
    return (await vacuumsOf("slices")) > vacuums;
  });
  expect(await file()).toEqual(rebuilt);
  await broker.sql`DELETE FROM idempotency_keys`;
  await untilDeadRowsAreKnown("idempotency_keys", 60_000);
  await until(async () => {
    await tables.runOnce();
    return (await size()) < MIB;
  });
});

test("an index over what is stored out of line is rebuilt as well, and so are those after it", async () => {
  await broker.sql`TRUNCATE batches, idempotency_keys`;
  await broker.sql`ALTER TABLE batches SET (toast.autovacuum_enabled = false)`;
  await broker.sql`
      INSERT INTO batches (id, account, sent_at, message_count, payload)
      SELECT 9e12::bigint + n, 0, pg_catalog.clock_timestamp(), 1, repeat('ab', 10000) FROM generate_series(1, 1500) n`;
  await broker.sql`
      INSERT INTO idempotency_keys (account, key, target_kind, target_id, message_count, stored_call)
      SELECT 0, 'bloated ' || n, 'queue', 1, 1, '' FROM generate_series(1, 5000) n`;
  await broker.sql`DELETE FROM batches`;
  await broker.sql`DELETE FROM idempotency_keys`;
  for (const table of ["batches", "idempotency_keys"])
    await broker.database.maintenance`VACUUM (INDEX_CLEANUP ON) ${broker.sql(table)}`;
  const indexes = async () => {
    const rows = await broker.sql<{ bytes: number }[]>`
        SELECT pg_relation_size(i.indexrelid)::int AS bytes FROM pg_class t
        JOIN pg_index i ON i.indrelid = t.reltoastrelid OR i.indexrelid = 'idempotency_keys_pkey'::regclass
        WHERE t.relname = 'batches' ORDER BY i.indrelid = t.reltoastrelid DESC`;
    return rows.map(({ bytes }) => bytes);
  };
  const before = await indexes();
  // The larger one is rebuilt first.
  expect(before[0]).toBeGreaterThan(before[1]!);
  expect(before[1]).toBeGreaterThan(128 * 1024);
  await newMaintenance({ smallIndex: 64 * 1024 }).tables.runOnce();
  for (const bytes of await indexes()) expect(bytes).toBeLessThanOrEqual(16 * 1024);
});

test("rows that somebody may want to see are not gone through again until he is gone", async () => {
  const queue = await broker.newQueue();
  await fill(queue, 5_000);
  const reader = await holdWith(
    broker.sql,
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM slices LIMIT 1",
  );
  await broker.engine.purge(ACCOUNT, queue);
  await untilDeadRowsAreKnown("slices", 5_000);
  const { tables } = newMaintenance();
  await tables.runOnce();
  const vacuums = await vacuumsOf("slices");
  await tables.runOnce();
  expect(await vacuumsOf("slices")).toBe(vacuums);
  await reader.letGo();
  await until(async () => {
    await tables.runOnce();
    return (await vacuumsOf("slices")) > vacuums;
  });
});

async function vacuumsOf(table: string): Promise<number> {
  await broker.database.maintenance`SELECT pg_stat_force_next_flush()`;
  const [row] = await broker.sql<{ count: number }[]>`
    SELECT vacuum_count::int AS count FROM pg_stat_user_tables WHERE relname = ${table}`;
  return row?.count ?? 0;
}

test("it is known for how long the horizon is held", async () => {
  const { tables, seconds } = newMaintenance();
  const reader = await holdWith(
    broker.sql,
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM slices LIMIT 1",
  );
  await tables.runOnce();
  expect(seconds.at(-1)).toBeGreaterThan(0);
  await reader.letGo();
  await until(async () => {
    await tables.runOnce();
    return seconds.at(-1) === 0;
  });
});

test("what a rebuild that died has left is removed", async () => {
  await fill(await broker.newQueue(), 2);
  await expect(
    broker.sql`CREATE UNIQUE INDEX CONCURRENTLY slices_visible_ccnew ON slices (account)`,
  ).rejects.toMatchObject({ code: "23505" });
  expect(
    await broker.sql`SELECT FROM pg_class WHERE relname = 'slices_visible_ccnew'`,
  ).toHaveLength(1);
  await newMaintenance().tables.runOnce();
  expect(await broker.sql`SELECT FROM pg_class WHERE relname = 'slices_visible_ccnew'`).toEqual([]);
});

test("one dispatcher at a time does it", async () => {
  const lock = await holdWith(broker.sql, "SELECT pg_advisory_xact_lock(7583402003)");
  const queue = await broker.newQueue();
  await fill(queue, 5_000);
  await broker.engine.purge(ACCOUNT, queue);
  const before = await vacuumsOf("slices");
  await newMaintenance().tables.runOnce();
  expect(await vacuumsOf("slices")).toBe(before);
  await lock.letGo();
});

test("payloads stay while a transaction keeps the last ones that were removed from going, and go after it", async () => {
  const sql = broker.database.maintenance;
  const logger = createLogger({ name: "test", level: "silent" });
  const duty = new CleanUpDuty({ sql, observer: broker.observer, logger, thoroughShare: 1 });
  const queue = await broker.newQueue();
  /** Its payload, of which nobody has any use from here on. */
  const finishOne = async () => {
    await broker.client().send(queue, ["m"]);
    const [batch] = await broker.sql<{ id: string }[]>`
      SELECT batch_id AS id FROM slices WHERE queue_id = ${await broker.idOf(queue)}::bigint`;
    await broker.client().finish(queue);
    await broker.clock.advance(61);
    return batch?.id ?? "";
  };
  const isThere = async (id: string) =>
    (await broker.sql`SELECT FROM batches WHERE id = ${id}::bigint`).length > 0;
  const untilGone = async (id: string) => {
    await until(async () => {
      await duty.runOnce();
      return !(await isThere(id));
    });
  };
  await untilGone(await finishOne());
  const held = await holdWith(
    broker.sql,
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET LOCAL idle_in_transaction_session_timeout = 0; SELECT FROM queues",
  );
  // It is not known yet that this is in vain.
  await untilGone(await finishOne());
  const kept = await finishOne();
  for (let run = 0; run < 3; run += 1) await duty.runOnce();
  expect(await isThere(kept)).toBe(true);
  await held.letGo();
  await untilGone(kept);
});

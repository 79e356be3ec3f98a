import { readFile } from "node:fs/promises";

import { createTestDatabase } from "@sluice/stack/testing";
import { generateDrizzleJson, generateMigration } from "drizzle-kit/api";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";

import { connectDatabase } from "./connect.ts";
import { describeSchema } from "./describe-schema.ts";
import { migrate } from "./migrate.ts";
import * as schema from "./schema/index.ts";

test("a migrated database has the schema that is on record", async () => {
  await using migrated = await migratedDatabase();
  // After a migration: npx vitest run --project libs/database --update, and review what changed.
  await expect(await describeSchema(migrated.database.sql)).toMatchFileSnapshot("../schema.txt");
});

test("the migrations are in step with the schema", async () => {
  type Journal = { entries: { idx: number }[] };
  const journal = JSON.parse(await readMigration("meta/_journal.json")) as Journal;
  const last = String(journal.entries.at(-1)?.idx).padStart(4, "0");
  const recorded = JSON.parse(await readMigration(`meta/${last}_snapshot.json`)) as Snapshot;
  expect(
    await generateMigration(recorded, generateDrizzleJson(schema, (recorded as { id: string }).id)),
  ).toEqual([]);
});

type Snapshot = ReturnType<typeof generateDrizzleJson>;

test("any number of processes migrate at once; the work is done once", async () => {
  await using testDatabase = await createTestDatabase(inject("databaseUrl"));
  await Promise.all(Array.from({ length: 5 }, () => migrate(testDatabase.url)));
  await using database = connectDatabase({ url: testDatabase.url, pool: 1 });
  const applied = await database.sql`SELECT FROM drizzle.sluice_migrations`;
  const journal = JSON.parse(await readMigration("meta/_journal.json")) as { entries: unknown[] };
  expect(applied).toHaveLength(journal.entries.length);
});

test("migrating again changes nothing", async () => {
  await using migrated = await migratedDatabase();
  const { sql } = migrated.database;
  await sql`INSERT INTO topics (account, name) VALUES (0, 'kept')`;
  const before = await describeSchema(sql);
  await migrate(migrated.url);
  expect(await describeSchema(sql)).toBe(before);
  expect(await sql`SELECT name FROM topics`).toEqual([{ name: "kept" }]);
});

test("whoever waits for the lock for long is told who may have it", async () => {
  await using testDatabase = await createTestDatabase(inject("databaseUrl"));
  await using other = connectDatabase({ url: testDatabase.url, pool: 1 });
  await other.sql`SELECT pg_advisory_lock(7583402001)`;
  await expect(migrate(testDatabase.url, { lockTimeout: 50 })).rejects.toThrow(
    /7583402001 is held.*pooler/,
  );
});

test("a migration that meets a locked table gives up before others wait behind it, and tells who has it", async () => {
  await using migrated = await migratedDatabase();
  const { sql } = migrated.database;
  // The last one is to be done again: it changes nothing that is not so already.
  await sql`DELETE FROM drizzle.sluice_migrations WHERE id = (SELECT max(id) FROM drizzle.sluice_migrations)`;
  const count = async () => (await sql`SELECT FROM drizzle.sluice_migrations`).length;
  const left = await count();
  await using other = connectDatabase({ url: migrated.url, pool: 1, name: "backup" });
  await other.sql.unsafe("BEGIN; LOCK TABLE batches IN SHARE UPDATE EXCLUSIVE MODE");
  await expect(migrate(migrated.url, { tableLockTimeout: 50 })).rejects.toThrow(
    /session \d+ \(backup\) has a lock on batches, and began \d+ s ago; wait for it, or end it/,
  );
  expect(await count()).toBe(left);
  await other.sql`COMMIT`;
  await migrate(migrated.url);
  expect(await count()).toBe(left + 1);
});

test("while one has just tried in vain to lock a table, no other one tries: those who write to it would wait all the time", async () => {
  await using migrated = await migratedDatabase();
  const { sql } = migrated.database;
  await sql`DELETE FROM drizzle.sluice_migrations WHERE id = (SELECT max(id) FROM drizzle.sluice_migrations)`;
  await using other = connectDatabase({ url: migrated.url, pool: 1 });
  await other.sql.unsafe("BEGIN; LOCK TABLE batches IN SHARE UPDATE EXCLUSIVE MODE");
  const starting = [1, 2].map(() => migrate(migrated.url, { lockTimeout: 3_000 }));
  const messages = (await Promise.allSettled(starting)).map((outcome) =>
    outcome.status === "rejected" ? String(outcome.reason) : "",
  );
  expect(messages.sort()).toEqual([
    expect.stringContaining("a table that is to be changed was locked"),
    expect.stringContaining("7583402001 is held"),
  ]);
});

test("where another role has a table locked it is told that, also beside work of its own", async () => {
  await using migrated = await migratedDatabase();
  const { sql } = migrated.database;
  await sql`DELETE FROM drizzle.sluice_migrations WHERE id = (SELECT max(id) FROM drizzle.sluice_migrations)`;
  const administrator = new URL(migrated.url);
  administrator.username = "postgres";
  await using other = connectDatabase({ url: administrator.href, pool: 1, name: "backup" });
  await other.sql.unsafe("BEGIN; LOCK TABLE batches IN SHARE UPDATE EXCLUSIVE MODE");
  await using work = connectDatabase({ url: migrated.url, pool: 1, name: "work" });
  await work.sql.unsafe("BEGIN; SELECT FROM batches");
  await expect(migrate(migrated.url, { tableLockTimeout: 50 })).rejects.toThrow(
    /session \d+ \(backup\) has a lock on batches; wait for it, or end it/,
  );
});

describe("beside another program that has migrations of Drizzle in the database", () => {
  /** A table of Drizzle with one migration, of long after ours. */
  const anothers = `
    CREATE SCHEMA IF NOT EXISTS drizzle;
    CREATE TABLE IF NOT EXISTS drizzle.__drizzle_migrations (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint);
    INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('another', 4102444800000)`;

  test("ours are done all the same, and leave no trace among its own", async () => {
    await using testDatabase = await createTestDatabase(inject("databaseUrl"));
    await using other = connectDatabase({ url: testDatabase.url, pool: 1 });
    await other.sql.unsafe(anothers);
    await migrate(testDatabase.url);
    expect(await other.sql`SELECT FROM topics`).toEqual([]);
    expect(await other.sql`SELECT hash FROM drizzle.__drizzle_migrations`).toEqual([
      { hash: "another" },
    ]);
  });

  test("an installation that has its own on record there goes on from them", async () => {
    await using migrated = await migratedDatabase();
    const { sql } = migrated.database;
    const count = async () => (await sql`SELECT FROM drizzle.sluice_migrations`).length;
    const migrations = await count();
    await sql.unsafe(`ALTER TABLE drizzle.sluice_migrations RENAME TO __drizzle_migrations`);
    await sql.unsafe(anothers);
    await migrate(migrated.url);
    expect(await count()).toBe(migrations);
  });
});

test("a database that is up to date asks for no right to create anything", async () => {
  await using migrated = await migratedDatabase();
  const { sql } = migrated.database;
  const name = new URL(migrated.url).pathname.slice(1);
  await sql.unsafe(`REVOKE CREATE ON DATABASE ${name} FROM current_user`);
  await expect(sql`CREATE SCHEMA another`).rejects.toThrow("permission denied");
  await migrate(migrated.url);
});

test("several hosts of which none answers are told", async () => {
  const none = "postgres://nobody@127.0.0.1:1,127.0.0.1:2/none";
  await expect(migrate(none, { connectTimeout: 0.05 })).rejects.toThrow("no host of DATABASE_URL");
});

test("a database with another encoding is refused, with what to do about it", async () => {
  const admin = connectDatabase({ url: inject("databaseUrl"), pool: 1 });
  const name = `latin1_${process.pid}`;
  await admin.sql.unsafe(
    `CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'`,
  );
  const url = new URL(inject("databaseUrl"));
  url.pathname = `/${name}`;
  await expect(migrate(url.href)).rejects.toThrow(/encoding LATIN1.*ENCODING 'UTF8'/);
  await admin.sql.unsafe(`DROP DATABASE ${name} WITH (FORCE)`);
  await admin.close();
});

describe("the schema itself refuses", () => {
  let migrated: Awaited<ReturnType<typeof migratedDatabase>>;
  beforeAll(async () => {
    migrated = await migratedDatabase();
  });
  afterAll(() => migrated[Symbol.asyncDispose]());

  test.each([
    ["an empty batch", `INSERT INTO batches VALUES (1, 0, now(), 0, '')`],
    ["a batch of 64", `INSERT INTO batches VALUES (1, 0, now(), 64, '')`],
    ["an empty slice", `INSERT INTO slices VALUES (1, now(), 1, 0, 0, 0, now())`],
    ["a slice with the sign bit", `INSERT INTO slices VALUES (1, now(), 1, -1, 0, 0, now())`],
    ["a queue name out of rule", `INSERT INTO queues (account, name) VALUES (0, 'a.b')`],
    [
      "a queue name that is too long",
      `INSERT INTO queues (account, name) VALUES (0, repeat('a', 81))`,
    ],
    ["a topic name with a line break", `INSERT INTO topics (account, name) VALUES (0, E'a\\n')`],
    [
      "a topic name that is too long",
      `INSERT INTO topics (account, name) VALUES (0, repeat('a', 257))`,
    ],
    ["a retention of a second", `INSERT INTO queues (account, name, retention) VALUES (0, 'a', 1)`],
  ])("%s", async (_, statement) => {
    await expect(migrated.database.sql.unsafe(statement)).rejects.toMatchObject({ code: "23514" });
  });
});

async function migratedDatabase() {
  const testDatabase = await createTestDatabase(inject("databaseUrl"));
  await migrate(testDatabase.url);
  const database = connectDatabase({ url: testDatabase.url, pool: 1 });
  return {
    url: testDatabase.url,
    database,
    async [Symbol.asyncDispose]() {
      await database.close();
      await testDatabase[Symbol.asyncDispose]();
    },
  };
}

async function readMigration(file: string): Promise<string> {
  return await readFile(new URL(`../migrations/${file}`, import.meta.url), "utf8");
}

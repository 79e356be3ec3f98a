import { createTestDatabase } from "@sluice/stack/testing";
import { sql as fragment } from "drizzle-orm";
import { expect, inject, test } from "vitest";

import { connectDatabase } from "./connect.ts";
import type { Sql } from "./connect.ts";

/** Fails when 200 rows are on their way, which is more than Postgres keeps back. */
const BREAKS_OFF = "SELECT n / (200 - n), repeat('x', 100) FROM generate_series(1, 200) n";
const LOSES_ITS_CONNECTION = `
  SELECT CASE n WHEN 200 THEN pg_terminate_backend(pg_backend_pid(), 10000) END, repeat('x', 100) FROM generate_series(1, 200) n`;

const ways: [string, (sql: Sql) => Promise<unknown>][] = [
  ["by an error", (sql) => sql.unsafe(BREAKS_OFF)],
  ["by an error, in a transaction", (sql) => sql.begin((tx) => tx.unsafe(BREAKS_OFF))],
  ["with its connection", (sql) => sql.unsafe(LOSES_ITS_CONNECTION)],
];

test.each(ways)("a result is whole after one that broke off %s", async (_, breakOff) => {
  await using testDatabase = await createTestDatabase(inject("databaseUrl"));
  await using database = connectDatabase({ url: testDatabase.url, pool: 1 });
  const { sql } = database;
  await expect(breakOff(sql)).rejects.toThrow();
  const rows = await sql<{ answer: number }[]>`SELECT 42 AS answer UNION ALL SELECT 43`;
  expect([...rows]).toEqual([{ answer: 42 }, { answer: 43 }]);
});

test("a result is whole also where nobody waits for it but for an error", async () => {
  await using testDatabase = await createTestDatabase(inject("databaseUrl"));
  await using database = connectDatabase({ url: testDatabase.url, pool: 1 });
  await expect(database.sql.unsafe(BREAKS_OFF)).rejects.toThrow();
  const rows = await database.sql`SELECT 42 AS answer`.catch(() => []);
  expect([...rows]).toEqual([{ answer: 42 }]);
});

test("a result is whole after one of the control plane that broke off", async () => {
  await using testDatabase = await createTestDatabase(inject("databaseUrl"));
  await using database = connectDatabase({ url: testDatabase.url });
  const { control } = database;
  // One after the other over each of its connections.
  for (let round = 0; round < 4; round += 1) {
    await expect(control.execute(fragment.raw(BREAKS_OFF))).rejects.toThrow();
    const rows = await control.execute(fragment`SELECT 42 AS answer`);
    expect([...rows]).toEqual([{ answer: 42 }]);
  }
});

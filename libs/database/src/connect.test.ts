import { createTestDatabase } from "@sluice/stack/testing";
import { afterAll, expect, inject, test } from "vitest";
import { connectDatabase, type DatabaseOptions } from "./connect.ts";

const testDatabase = await createTestDatabase(inject("databaseUrl"));
afterAll(() => testDatabase[Symbol.asyncDispose]());

/** What each of the pools has for a setting. */
async function settingOf(name: string, options: Partial<DatabaseOptions> = {}): Promise<string[]> {
  const { url } = testDatabase;
  await using admin = connectDatabase({ url, pool: 1 });
  const database = new URL(url).pathname.slice(1);
  await admin.sql.unsafe(`ALTER DATABASE "${database}" SET synchronous_commit = 'local'`);
  await using connected = connectDatabase({ url, pool: 1, ...options });
  const ask = async (sql: typeof connected.sql) => {
    const [row] = await sql<{ value: string }[]>`SELECT current_setting(${name}) AS value`;
    return row?.value ?? "";
  };
  return await Promise.all([ask(connected.sql), ask(connected.maintenance)]);
}

test("commits wait for the disk, whatever the default of the database is", async () => {
  expect(await settingOf("synchronous_commit")).toEqual(["on", "on"]);
});

test("commits of a process that answers nobody do not", async () => {
  expect(await settingOf("synchronous_commit", { lazy: true })).toEqual(["off", "off"]);
});

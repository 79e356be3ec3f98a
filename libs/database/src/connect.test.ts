import { createTestDatabase } from "@sluice/stack/testing";
import { afterAll, describe, expect, inject, test, vi } from "vitest";
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

test.each([
  ["synchronous_commit", "off", "on"],
  ["default_transaction_isolation", "serializable", "read committed"],
  ["array_nulls", "off", "on"],
  ["extra_float_digits", "-15", "1"],
  ["bytea_output", "escape", "hex"],
  ["DateStyle", "German", "ISO, YMD"],
  ["IntervalStyle", "iso_8601", "postgres"],
  ["TimeZone", "Asia/Kolkata", "UTC"],
  ["standard_conforming_strings", "off", "on"],
  ["synchronize_seqscans", "on", "off"],
  ["plan_cache_mode", "force_custom_plan", "force_generic_plan"],
])("%s=%s of the database or the URL is not what counts", async (name, value, ours) => {
  const url = new URL(testDatabase.url);
  await using admin = connectDatabase({ url: url.href, pool: 1 });
  await admin.sql.unsafe(`ALTER DATABASE "${url.pathname.slice(1)}" SET ${name} = '${value}'`);
  url.searchParams.set(name, value);
  await using database = connectDatabase({ url: url.href, pool: 1 });
  const [row] = await database.sql<{ value: string }[]>`SELECT current_setting(${name}) AS value`;
  expect(row?.value).toBe(ours);
  await admin.sql.unsafe(`ALTER DATABASE "${url.pathname.slice(1)}" RESET ${name}`);
});

test("a client that has vanished is noticed by the server within a minute", async () => {
  expect(await settingOf("tcp_keepalives_idle")).toEqual(["30", "30"]);
  expect(await settingOf("tcp_keepalives_interval")).toEqual(["10", "10"]);
  expect(await settingOf("tcp_keepalives_count")).toEqual(["3", "3"]);
});

describe("the connection of the clean-up", () => {
  test("is given up by the server when nothing comes for a minute; those of the hot path are not", async () => {
    expect(await settingOf("idle_session_timeout")).toEqual(["0", "1min"]);
  });

  test("leaves no lock behind then, and is made again", async () => {
    const { url } = testDatabase;
    await using stopped = connectDatabase({ url, pool: 1 });
    await using other = connectDatabase({ url, pool: 1 });
    const [held] = await stopped.maintenance<{ pid: number }[]>`
      SELECT pg_backend_pid() AS pid, pg_advisory_lock(7)`;
    await stopped.maintenance`SET idle_session_timeout = '10ms'`;
    await other.sql`SELECT pg_advisory_lock(7)`;
    // What is sent before the end has been heard of fails.
    const [again] = await vi.waitFor(
      () => stopped.maintenance<{ pid: number; timeout: string }[]>`
        SELECT pg_backend_pid() AS pid, current_setting('idle_session_timeout') AS timeout`,
    );
    expect(again!.pid).not.toBe(held!.pid);
    expect(again!.timeout).toBe("1min");
  });
});

describe("of several hosts", () => {
  /** Where nobody listens. */
  const nowhere = "127.0.0.1:1";
  const urlOf = (...hosts: string[]) => testDatabase.url.replace(/@[^/]+/, `@${hosts.join(",")}`);

  test.each([(there: string) => [nowhere, there], (there: string) => [there, nowhere]])(
    "the one that can be reached is taken",
    async (hostsWith) => {
      const url = urlOf(...hostsWith(new URL(testDatabase.url).host));
      await using database = connectDatabase({ url, pool: 4 });
      const { sql } = database;
      const pids = await Promise.all(
        Array.from({ length: 4 }, async () => {
          const [row] = await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid, pg_sleep(0.1)`;
          return row!.pid;
        }),
      );
      expect(new Set(pids).size).toBe(4);
    },
  );

  test("whoever asks is told when none can be", async () => {
    await using database = connectDatabase({ url: urlOf(nowhere, "127.0.0.1:2"), pool: 1 });
    for (let attempt = 0; attempt < 3; attempt += 1)
      await expect(database.sql`SELECT 1`).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });
});

import { createTestDatabase } from "@sluice/stack/testing";
import { afterAll, expect, inject, test } from "vitest";

import { connectDatabase } from "./connect.ts";
import { classifyFailure, isStatementCancelled } from "./failure.ts";

const testDatabase = await createTestDatabase(inject("databaseUrl"));
const database = connectDatabase({ url: testDatabase.url, pool: 2 });
await database.sql.unsafe(`
  CREATE TABLE parents (id int PRIMARY KEY);
  CREATE TABLE children (parent int REFERENCES parents);
  INSERT INTO parents VALUES (1)`);
afterAll(async () => {
  await database.close();
  await testDatabase[Symbol.asyncDispose]();
});

async function failureOf(statement: string) {
  const failure: unknown = await database.sql.unsafe(statement).catch((error: unknown) => error);
  // What Drizzle makes of it means the same.
  expect(classifyFailure(new Error("Failed query", { cause: failure }))).toBe(
    classifyFailure(failure),
  );
  return classifyFailure(failure);
}

test.each([
  ["INSERT INTO parents VALUES (1)", "unique-violation"],
  ["INSERT INTO children VALUES (2)", "missing-reference"],
  ["SELECT 1 / 0", "refused"],
  ["SELECT nonsense", "refused"],
  ["SET statement_timeout = 1; SELECT pg_sleep(1)", "unavailable"],
  ["SELECT pg_terminate_backend(pg_backend_pid())", "unavailable"],
  ["SET TRANSACTION READ ONLY; INSERT INTO parents VALUES (3)", "unavailable"],
])("%s is %s", async (statement, expected) => {
  expect(await failureOf(statement)).toBe(expected);
});

test.each([
  ["58030", "md.c", "unavailable"],
  ["42501", "md.c", "unavailable"],
  ["42501", "xlog.c", "unavailable"],
  ["42501", "aclchk.c", "refused"],
  ["42501", undefined, "refused"],
])("an error %s of %s, as of a disk that has failed, is %s", async (code, file, expected) => {
  // Postgres lets nobody set where an error comes from; the disk itself fails in the runs of chaos.
  const error = await database.sql`SELECT 1 / 0`.catch((told: unknown) => told);
  expect(classifyFailure(Object.assign(error as Error, { code, file }))).toBe(expected);
});

test("a statement that takes too long is told from others that were refused", async () => {
  const failures = await Promise.all(
    ["SET statement_timeout = 1; SELECT pg_sleep(1)", "SELECT 1 / 0"].map((statement) =>
      database.sql.unsafe(statement).catch((error: unknown) => error),
    ),
  );
  expect(failures.map(isStatementCancelled)).toEqual([true, false]);
});

test("a server that is not there is unavailable", async () => {
  await using absent = connectDatabase({ url: "postgres://nobody@127.0.0.1:1/none", pool: 1 });
  const failure: unknown = await absent.sql`SELECT 1`.catch((error: unknown) => error);
  expect(classifyFailure(failure)).toBe("unavailable");
});

test.each([undefined, null, "text", 7, new Error("bug"), new TypeError("x is undefined")])(
  "%s is not an error of the database",
  (error) => {
    expect(classifyFailure(error)).toBe("unknown");
  },
);

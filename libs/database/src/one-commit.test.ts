import { createTestDatabase } from "@sluice/stack/testing";
import { afterAll, beforeEach, expect, inject, test } from "vitest";

import { connectDatabase, type Sql } from "./connect.ts";
import { inOneCommit, type Statement } from "./one-commit.ts";

const testDatabase = await createTestDatabase(inject("databaseUrl"));
const database = connectDatabase({ url: testDatabase.url, pool: 1 });
const { sql, impatient } = database;
await sql`CREATE TABLE numbers (number int PRIMARY KEY)`;
beforeEach(() => sql`TRUNCATE numbers`);
afterAll(async () => {
  await database.close();
  await testDatabase[Symbol.asyncDispose]();
});

type Rows = { number: number; transaction?: string }[];

const insert =
  (number: number): Statement<Rows> =>
  (on) =>
    on<Rows>`INSERT INTO numbers VALUES (${number}) RETURNING number, pg_current_xact_id()::text AS transaction`.execute();
const list: Statement<Rows> = (on: Sql) =>
  on<Rows>`SELECT number FROM numbers ORDER BY 1`.execute();

test("each statement sees what those before it did, and all are one transaction, also when they are new to the connection", async () => {
  for (let round = 0; round < 3; round += 1) {
    const outcome = await inOneCommit(impatient, [insert(2 * round), list, insert(2 * round + 1)]);
    const { results } = outcome as { results: Rows[] };
    expect(results[1]!.map(({ number }) => number)).toEqual(
      Array.from({ length: 2 * round + 1 }, (_, number) => number),
    );
    expect(results[0]![0]!.transaction).toBe(results[2]![0]!.transaction);
    // On another connection: they are committed.
    expect(await list(sql)).toHaveLength(2 * round + 2);
  }
});

test("one statement needs no transaction", async () => {
  expect(await inOneCommit(impatient, [insert(1)])).toMatchObject({ results: [[{ number: 1 }]] });
  expect(await list(sql)).toHaveLength(1);
});

test.each([0, 1, 2])(
  "when statement %i fails none has done anything, and it is told which",
  async (place) => {
    await insert(7)(sql);
    const statements = [insert(1), insert(2), insert(3)];
    statements[place] = insert(7);
    const outcome = await inOneCommit(impatient, statements);
    expect(outcome).toMatchObject({ failed: place, error: { code: "23505" } });
    expect(await list(sql)).toEqual([{ number: 7 }]);
    expect(await inOneCommit(impatient, [insert(1), insert(2)])).toHaveProperty("results");
  },
);

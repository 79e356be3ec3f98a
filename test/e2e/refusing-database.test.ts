import { createLogger } from "@sluice/runtime";
import { createTestDatabase } from "@sluice/stack/testing";
import { openDatabase } from "@sluice/start-up";
import postgres from "postgres";
import { expect, inject, test } from "vitest";

/** The first line of a process that waits for the database of this URL. */
async function firstLine(databaseUrl: string): Promise<unknown> {
  const stopping = new AbortController();
  let line: unknown;
  const logger = createLogger({
    name: "test",
    stream: {
      write: (text) => {
        line ??= JSON.parse(text);
        stopping.abort(new Error("has said so"));
      },
    },
  });
  const config = { databaseUrl, databasePool: 1, traceHours: 0 };
  const opening = openDatabase({ config, logger, signal: stopping.signal }, "test");
  await expect(opening).rejects.toThrow("has said so");
  return line;
}

test("a process that waits for a database that refuses says what is to be done", async () => {
  await using database = await createTestDatabase(inject("databaseUrl"));
  const missing = new URL(database.url);
  missing.pathname = "/no-such-database";
  expect(await firstLine(missing.href)).toMatchObject({
    level: "error",
    event: "dependency.awaited",
    message: expect.stringContaining("DATABASE_URL has to be created") as string,
  });

  const sql = postgres(database.url, { max: 1 });
  const { pathname, username } = new URL(database.url);
  await sql`REVOKE CREATE ON DATABASE ${sql(pathname.slice(1))} FROM ${sql(username)}, PUBLIC`;
  await sql.end();
  expect(await firstLine(database.url)).toMatchObject({
    level: "error",
    message: expect.stringContaining("its role needs the right to create") as string,
  });
});

import connect from "postgres";
import { expect, inject, test } from "vitest";
import { createTestDatabase } from "./testing.ts";

test("every test database is empty, and gone when it is disposed", async () => {
  const adminUrl = inject("databaseUrl");
  await using admin = client(adminUrl);
  let name: string;
  {
    await using database = await createTestDatabase(adminUrl);
    name = database.name;
    await using inside = client(database.url);
    const tables = await inside.sql`SELECT FROM pg_tables WHERE schemaname = 'public'`;
    expect(tables).toHaveLength(0);
  }
  expect(await admin.sql`SELECT FROM pg_database WHERE datname = ${name}`).toHaveLength(0);
});

function client(url: string) {
  const sql = connect(url, { max: 1 });
  return { sql, [Symbol.asyncDispose]: () => sql.end() };
}

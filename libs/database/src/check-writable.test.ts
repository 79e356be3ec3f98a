import { createTestDatabase } from "@sluice/stack/testing";
import { expect, inject, test } from "vitest";

import { checkWritable } from "./check-writable.ts";
import { connectDatabase } from "./connect.ts";

test("a database is writable until it only answers what it is asked", async () => {
  await using testDatabase = await createTestDatabase(inject("databaseUrl"));
  await using database = connectDatabase({ url: testDatabase.url, pool: 1 });
  await checkWritable(database.sql);
  await database.sql`SET default_transaction_read_only = on`;
  await expect(checkWritable(database.sql)).rejects.toThrow("read-only");
});

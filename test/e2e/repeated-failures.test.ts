import { startStandalone } from "@sluice/stack";
import { createTestDatabase } from "@sluice/stack/testing";
import postgres from "postgres";
import { expect, inject, test } from "vitest";
import { LogLines } from "./log-lines.ts";

const REQUESTS = 40;

test("requests that all fail for one reason write a few lines, which account for each of them", async () => {
  await using database = await createTestDatabase(inject("databaseUrl"));
  const log = new LogLines();
  const settings = { databaseUrl: database.url, env: { LOG_LEVEL: "info" }, onLine: log.add };
  await using sluice = await startStandalone(settings);
  const sql = postgres(database.url, { max: 1 });
  await sql`REVOKE SELECT ON topics FROM CURRENT_USER`;
  await sql.end();
  for (let n = 0; n < REQUESTS; n += 1)
    expect((await fetch(`${sluice.url}/v1/topics`)).status).toBe(500);
  const page = await (await fetch(`${sluice.url}/metrics`)).text();
  expect(page).toMatch(
    new RegExp(`^sluice_http_request_seconds_count{.*status="500".*} ${REQUESTS}$`, "m"),
  );
  await sluice.stop();
  const lines = log.all.filter(({ event }) => event === "request.failed");
  expect(lines.length).toBeLessThan(10);
  for (const { err } of lines)
    expect((err as { stack: string }).stack).toMatch(/permission denied|Failed query/);
  const failures = lines.map(({ repeated = 1 }) => Number(repeated));
  expect(failures.reduce((sum, count) => sum + count, 0)).toBe(REQUESTS);
});

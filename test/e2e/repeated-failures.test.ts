import { startStandalone } from "@sluice/stack";
import { createTestDatabase } from "@sluice/stack/testing";
import postgres from "postgres";
import { expect, inject, test, vi } from "vitest";
import { LogLines } from "./log-lines.ts";

const REQUESTS = 40;

test("the log says why calls are told that the database is unavailable, by whichever way they come", async () => {
  await using database = await createTestDatabase(inject("databaseUrl"));
  const log = new LogLines();
  const settings = { databaseUrl: database.url, env: { LOG_LEVEL: "info" }, onLine: log.add };
  await using sluice = await startStandalone(settings);
  const call = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
    const type = { "content-type": "application/json" };
    const request = {
      method: "POST",
      headers: { ...type, ...headers },
      body: JSON.stringify(body),
    };
    return (await fetch(`${sluice.url}${path}`, request)).status;
  };
  expect(await call("/v1/queues", { name: "full" })).toBe(201);
  const sql = postgres(database.url, { max: 1 });
  await sql.unsafe(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON queues EXECUTE FUNCTION refuse();
    CREATE TRIGGER refuse BEFORE INSERT ON batches EXECUTE FUNCTION refuse()`);
  await sql.end();

  const why = { type: "PostgresError", code: "53100", message: "No space left on device" };
  const told = () =>
    log.all
      .filter(({ event }) => event === "request.unavailable")
      .map(({ level, err }) => [level, rootOf(err)]);
  expect(await call("/v1/queues/full/messages", { messages: [{ body: "hello" }] })).toBe(503);
  expect(await call("/v1/queues", { name: "another" })).toBe(503);
  const aws = {
    "content-type": "application/x-amz-json-1.0",
    "x-amz-target": "AmazonSQS.CreateQueue",
  };
  expect(await call("/", { QueueName: "another" }, aws)).toBe(503);
  await vi.waitFor(() => expect(told().length).toBe(3), 10_000);
  for (const line of told()) expect(line).toEqual(["warn", expect.objectContaining(why)]);
});

interface Described {
  readonly cause?: Described;
}

function rootOf(err: unknown): unknown {
  const { cause } = err as Described;
  return cause === undefined ? err : rootOf(cause);
}

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

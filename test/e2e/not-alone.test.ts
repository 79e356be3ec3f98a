import { startStandalone } from "@sluice/stack";
import { createTestDatabase } from "@sluice/stack/testing";
import { expect, inject, test } from "vitest";
import { LogLines } from "./log-lines.ts";

test("a second process with a bus of its own says that it is not alone on its database", async () => {
  await using database = await createTestDatabase(inject("databaseUrl"));
  const [first, second] = [new LogLines(), new LogLines()];
  const start = (log: LogLines) => startStandalone({ databaseUrl: database.url, onLine: log.add });
  const warnings = (log: LogLines) => log.all.filter(({ event }) => event === "bus.not-alone");
  await using one = await start(first);
  // By now it has been asked for something.
  const list = await fetch(`${one.url}/v1/queues`);
  expect(list.status).toBe(200);
  await using _ = await start(second);
  expect(warnings(first)).toEqual([]);
  expect(warnings(second)).toMatchObject([{ level: "warn" }]);
});

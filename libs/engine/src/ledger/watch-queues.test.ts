import type { Sql } from "@sluice/database";
import { expect, test } from "vitest";

import { watchQueues } from "./watch-queues.ts";

test("what queues hold is told to be unknown when nobody can look", async () => {
  const told: unknown[] = [];
  const away = new Error("the database is away");
  const sql = (() => Promise.reject(away)) as unknown as Sql;
  const observer = { queuesHold: (queues: unknown) => void told.push(queues) };
  await expect(watchQueues({ sql, observer }, 10)).rejects.toBe(away);
  expect(told).toEqual([[]]);
});

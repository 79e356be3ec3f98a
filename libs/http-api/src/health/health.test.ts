import { createMetrics } from "@sluice/runtime";
import { expect, test } from "vitest";

import { healthEndpoints } from "./health.ts";

test("Postgres is asked once for all who want to know whether the process is ready", async () => {
  const asked: ((isUp: boolean) => void)[] = [];
  const app = healthEndpoints({
    metrics: createMetrics(),
    isStopping: () => false,
    checks: {
      postgres: () =>
        new Promise((resolve, reject) => {
          asked.push((isUp) => (isUp ? resolve(isUp) : reject(new Error("it is gone"))));
        }),
    },
  });
  const ask = async () => (await app.request("/readyz")).status;
  const first = [ask(), ask(), ask()];
  asked[0]!(true);
  expect(await Promise.all(first)).toEqual([200, 200, 200]);
  expect(asked).toHaveLength(1);
  const second = ask();
  expect(asked).toHaveLength(2);
  asked[1]!(false);
  expect(await second).toBe(503);
});

test("a question that is never answered is not waited for by those who ask later", async () => {
  let asked = 0;
  const app = healthEndpoints({
    metrics: createMetrics(),
    isStopping: () => false,
    checks: { postgres: async () => void ((asked += 1) === 1 && (await new Promise(() => {}))) },
  });
  expect((await app.request("/readyz")).status).toBe(503);
  expect((await app.request("/readyz")).status).toBe(200);
});

import { startApi, startDispatcher, startStandalone } from "@sluice/stack";
import { afterAll, beforeAll, expect, test } from "vitest";

import { install, type Installation } from "./installation.ts";

const METRICS_TOKEN = "a-token-that-prometheus-has";

let installation: Installation;
beforeAll(async () => {
  installation = await install({ apis: 0, dispatchers: 0 });
});
afterAll(() => installation[Symbol.asyncDispose]());

test.each([
  ["API", startApi],
  ["dispatcher", startDispatcher],
  ["standalone", startStandalone],
] as const)("with METRICS_TOKEN only who has it reads the metrics: %s", async (_, start) => {
  const { settings } = installation;
  const env = { ...settings.env, METRICS_TOKEN };
  await using process = await start({ ...settings, env });
  const ask = async (path: string, authorization?: string) => {
    const response = await fetch(`${process.url}${path}`, {
      headers: authorization === undefined ? {} : { authorization },
    });
    return { status: response.status, text: await response.text() };
  };
  for (const wrong of [undefined, "Bearer another-token-of-that-length", METRICS_TOKEN, "Bearer"]) {
    const { status, text } = await ask("/metrics", wrong);
    expect(status).toBe(401);
    expect(JSON.parse(text)).toMatchObject({ error: { code: "unauthenticated" } });
    expect(text).toContain("METRICS_TOKEN");
  }
  const shown = await ask("/metrics", `Bearer ${METRICS_TOKEN}`);
  expect(shown.status).toBe(200);
  expect(shown.text).toContain("sluice_messages_published_total");
  expect((await ask("/healthz")).status).toBe(200);
});

import { afterAll, expect, test } from "vitest";

import { TestApi } from "./api.ts";
import { until } from "../broker/interleaving.ts";

const api = await TestApi.start();
afterAll(() => api[Symbol.asyncDispose]());

interface Message {
  messageId: string;
  receiptHandle: string;
  replayed?: true;
}

test("a subscription begins with a replay, and what it gets says so", async () => {
  const archive = { days: 1 };
  await api.ok("POST /v1/topics", { body: { name: "kept", archive } });
  for (const name of ["early", "late"]) await api.ok("POST /v1/queues", { body: { name } });
  await api.ok("POST /v1/topics/kept/subscriptions", { body: { queue: "early" } });
  const { results } = await api.ok<{ results: { messageId: string }[] }>(
    "POST /v1/topics/kept/messages",
    { body: { messages: [{ body: "a" }, { body: "b" }] } },
  );
  const receive = async (queue: string) =>
    await api.ok<{ messages: Message[] }>(`POST /v1/queues/${queue}/receive`, {
      body: { maxMessages: 10, wait: 20 },
    });
  const live = await receive("early");
  expect(live.messages.map(({ replayed }) => replayed)).toEqual([undefined, undefined]);
  const replayFrom = results[1]?.messageId;
  const { id } = await api.ok<{ id: string }>("POST /v1/topics/kept/subscriptions", {
    body: { queue: "late", replayFrom },
  });
  const { messages } = await receive("late");
  expect(messages).toMatchObject([{ messageId: replayFrom, replayed: true }]);
  await until(async () => {
    const { replays } = await api.ok<{ replays: { status: string }[] }>(
      `GET /v1/subscriptions/${id}/replays`,
    );
    return replays[0]?.status === "completed";
  });
  const tried = await api.ok("POST /v1/topics/kept/match", { body: { last: 1 } });
  expect(tried).toMatchObject({ messages: [{ messageId: replayFrom, matches: [{}, {}] }] });
});

test("a replay is started, refused, looked at and cancelled", async () => {
  await api.ok("POST /v1/topics", { body: { name: "orders" } });
  await api.ok("POST /v1/queues", { body: { name: "billing" } });
  const { id } = await api.ok<{ id: string }>("POST /v1/topics/orders/subscriptions", {
    body: { queue: "billing" },
  });
  const start = async (body: object) =>
    await api.call(`POST /v1/subscriptions/${id}/replays`, { body });
  const from = "2026-01-31T08:00:00Z";
  expect(await start({ from })).toMatchObject({ status: 409 });
  await api.ok("PATCH /v1/topics/orders", { body: { archive: { days: 365 } } });
  for (const wrong of ["yesterday", "2026-01-31", "2026-01-31T08:00:00"]) {
    const { status, body } = await start({ from: wrong });
    expect({ status, body }).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_request" } },
    });
    expect(JSON.stringify(body)).toContain("with its zone");
  }
  const started = await start({ from, to: "now", rate: 5 });
  expect(started).toMatchObject({ status: 201, body: { rate: 5, replayed: 0 } });
  // In UTC these are years that ISO 8601 and Postgres do not name alike.
  const early = { from: "0001-01-01T00:00:00+23:59" };
  const late = { from: "9999-12-31T23:59:59-23:59" };
  for (const body of [{ from: "0000-01-01T00:00:00Z" }, early, late, { from, to: late.from }]) {
    expect(await start(body)).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_request" } },
    });
  }
  const subscription = { queue: "billing", replayFrom: early.from };
  expect(
    await api.call("POST /v1/topics/orders/subscriptions", { body: subscription }),
  ).toMatchObject({
    status: 400,
    body: { error: { details: [{ path: "replayFrom" }] } },
  });
  const unknown = crypto.randomUUID();
  for (const method of ["GET", "DELETE"]) {
    const route = `${method} /v1/subscriptions/${id}/replays/${unknown}` as const;
    expect(await api.call(route)).toMatchObject({ status: 404 });
  }
});

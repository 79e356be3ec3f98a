import { once } from "node:events";
import { connect } from "node:net";

import { connectDatabase } from "@sluice/database";
import { serve } from "@sluice/http-api";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";

import { until } from "../broker/interleaving.ts";
import { TestApi, type Call } from "./api.ts";
import { Link } from "./link.ts";

let link: Link;
const api = await TestApi.start({ dispatchers: 0 }, async (url) => {
  const through = await Link.to(url);
  link = through.link;
  return connectDatabase({ url: through.url, pool: 2, name: "test-outage" });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await link[Symbol.asyncDispose]();
});

let names = 0;
let queue: string;
beforeEach(async () => {
  names += 1;
  queue = `queue-${names}`;
  await api.ok("POST /v1/queues", { body: { name: queue } });
});
afterEach(async () => {
  await link.mend();
  api.broker.failures.length = 0;
});

/** Of each call that was answered 503 the log has why, and of nothing else. */
function expectToldWhy(): void {
  const complaints = api.complaints.splice(0);
  expect(complaints.length).toBeGreaterThan(0);
  for (const { level, event } of complaints)
    expect([level, event]).toEqual(["warn", "request.unavailable"]);
}

async function untilServed(route: string, call: Call = {}) {
  let answer = await api.call(route, call);
  await until(async () => {
    if (answer.status === 503) answer = await api.call(route, call);
    return answer.status !== 503;
  });
  return answer;
}

const message = { body: { messages: [{ body: "m" }] } };

test("without the database every call is answered 503 with when to come back, and served once it is back", async () => {
  const send = `POST /v1/queues/${queue}/messages`;
  await api.ok(send, message);
  const { messages } = await api.ok<{ messages: { receiptHandle: string }[] }>(
    `POST /v1/queues/${queue}/receive`,
    { body: {} },
  );
  const receiptHandles = messages.map(({ receiptHandle }) => receiptHandle);
  await link.cut();
  const calls: [string, Call][] = [
    [send, message],
    [`POST /v1/queues/${queue}/receive`, { body: {} }],
    [`POST /v1/queues/${queue}/ack`, { body: { receiptHandles } }],
    [`GET /v1/queues/${queue}`, {}],
    ["GET /v1/topics", {}],
    ["POST /v1/topics", { body: { name: `topic-${names}` } }],
  ];
  for (const [route, call] of calls) {
    const { status, body, headers } = await api.call(route, call);
    expect([route, status]).toEqual([route, 503]);
    expect(body).toMatchObject({ error: { code: "unavailable" } });
    expect(headers.get("retry-after")).toBe("1");
  }
  await link.mend();
  expect(await untilServed(send, message)).toMatchObject({ status: 200 });
  const acknowledge = `POST /v1/queues/${queue}/ack`;
  expect(await untilServed(acknowledge, { body: { receiptHandles } })).toMatchObject({
    body: { results: [{ ok: true }] },
  });
  expectToldWhy();
});

test("whoever waits while the database goes and comes back gets the message that comes then", async () => {
  const waiting = api.call(`POST /v1/queues/${queue}/receive`, { body: { wait: 20 } });
  // One claim of a queue at a time: when this one has its answer, so has the first one, and waits.
  await api.ok(`POST /v1/queues/${queue}/receive`, { body: {} });
  await link.cut();
  await until(async () => api.broker.failures.some(({ what }) => what === "safety poll"));
  await link.mend();
  await untilServed(`POST /v1/queues/${queue}/messages`, message);
  expect(await waiting).toMatchObject({ status: 200, body: { messages: [{ body: "m" }] } });
  api.complaints.length = 0;
});

test("a write whose answer from the database was lost is found again by its Idempotency-Key", async () => {
  const call = { ...message, headers: { "idempotency-key": `lost-${names}` } };
  const send = `POST /v1/queues/${queue}/messages`;
  await api.ok(send, message);
  link.swallowAnswers();
  const unknown = api.call(send, call);
  await until(async () => {
    const rows = await api.broker.sql`SELECT FROM idempotency_keys WHERE key = ${`lost-${names}`}`;
    return rows.length > 0;
  });
  await link.cut();
  expect(await unknown).toMatchObject({ status: 503, body: { error: { code: "unavailable" } } });
  await link.mend();
  expect(await untilServed(send, call)).toMatchObject({ status: 200 });
  const { body } = await api.call(`POST /v1/queues/${queue}/receive`, {
    body: { maxMessages: 10 },
  });
  expect((body as { messages: unknown[] }).messages).toHaveLength(2);
  expectToldWhy();
});

test("a client that hangs up while the database is away keeps its messages until their timeout, and is no failed request", async () => {
  const bodies = Array.from({ length: 40 }, () => "x".repeat(1024 * 1024));
  for (const body of bodies) await api.broker.client().send(queue, [body]);
  const { fetch, direct } = { fetch: api.app.fetch, direct: api.app.direct };
  const server = await serve({ fetch, direct, host: "127.0.0.1", port: 0 });
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  const body = JSON.stringify({ maxMessages: 40, visibilityTimeout: 5 });
  socket.write(
    `POST /v1/queues/${queue}/receive HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  // It reads the beginning and nothing more.
  await once(socket, "data");
  socket.pause();
  await link.cut();
  socket.destroy();
  await until(async () => api.broker.failures.some(({ what }) => what === "release"));
  expect(api.complaints).toEqual([]);
  await link.mend();
  // A connection that was cut may be told of only now.
  const visible = async () => (await api.broker.counts(queue).catch(() => undefined))?.visible;
  await until(async () => (await visible()) === 40);
  await server.close();
});

import { connect } from "node:net";
import { once } from "node:events";
import { migrate } from "@sluice/database";
import { startApi, startDispatcher, startStandalone, type ServiceProcess } from "@sluice/stack";
import { createTestDatabase } from "@sluice/stack/testing";
import postgres from "postgres";
import { afterAll, expect, inject, test } from "vitest";
import { Client } from "./http.ts";
import { install } from "./installation.ts";

const installation = await install();
afterAll(() => installation[Symbol.asyncDispose]());
const [survivor] = installation.apis.map(({ url }) => new Client(url)) as [Client];

async function anotherApi() {
  const api = installation.own(await startApi(installation.settings));
  return { api, client: new Client(api.url) };
}

/** Tells the process to end and resolves when it has said that it will. */
async function beginDraining(child: ServiceProcess): Promise<void> {
  child.signal("SIGTERM");
  await child.waitFor((line) => line.includes('"process.stopping"') || undefined, 30_000);
}

test("a request that was accepted is answered, and what it wrote is there", async () => {
  const { api, client } = await anotherApi();
  const queue = await client.subscribedQueue();
  const publish = await client.begin(`/v1/topics/${queue}/messages`, {
    messages: [{ body: "last" }],
  });
  await beginDraining(api);
  await expect(client.call("GET", "/healthz")).rejects.toThrow("fetch failed");

  const { status, body } = await publish.finish();
  const { results } = body as { results: { messageId: string }[] };
  expect(status).toBe(200);
  expect(await api.exited).toEqual({ code: 0, signal: null });
  expect(await survivor.receive(queue, { wait: 20 })).toMatchObject([
    { messageId: results[0]?.messageId, body: "last", receiveCount: 1 },
  ]);
});

test("a long poll is answered with no messages instead of being waited for", async () => {
  const { api, client } = await anotherApi();
  const queue = await client.subscribedQueue();
  const poll = await client.begin(`/v1/queues/${queue}/receive`, { wait: 20 });
  const answer = poll.finish();
  // The answer to a later call: by then the poll is waiting.
  await client.receive(queue);
  api.signal("SIGTERM");
  expect(await answer).toEqual({ status: 200, body: { messages: [] } });
  expect(await api.exited).toEqual({ code: 0, signal: null });
});

test("messages of an answer that nobody reads are visible again before the process has ended", async () => {
  await using database = await createTestDatabase(inject("databaseUrl"));
  const settings = { databaseUrl: database.url };
  await using sluice = await startStandalone(settings);
  const client = new Client(sluice.url);
  const queue = await client.subscribedQueue({ visibilityTimeout: 600 });
  const messages = [{ body: "x".repeat(1 << 20) }];
  for (let count = 0; count < 12; count += 1)
    await client.expect("POST", `/v1/queues/${queue}/messages`, { messages });
  const deaf = connect(Number(new URL(sluice.url).port), "127.0.0.1").on("error", () => {});
  const body = JSON.stringify({ maxMessages: 12 });
  deaf.write(
    `POST /v1/queues/${queue}/receive HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await once(deaf, "readable");
  expect(await client.counts(queue)).toMatchObject({ visible: 0, inFlight: 12 });
  expect(await sluice.stop()).toEqual({ code: 0, signal: null });
  deaf.destroy();
  await using next = await startStandalone(settings);
  expect(await new Client(next.url).counts(queue)).toMatchObject({ visible: 12, inFlight: 0 });
});

test("a connection that brings no request does not keep the process", async () => {
  const { api } = await anotherApi();
  const silent = connect(Number(new URL(api.url).port), "127.0.0.1");
  await once(silent, "connect");
  api.signal("SIGTERM");
  await once(silent.resume(), "close");
  expect(await api.exited).toEqual({ code: 0, signal: null });
});

test("a dispatcher does not wait for its clean-up, which may have minutes to go", async () => {
  const { settings } = installation.own(await install({ apis: 0, dispatchers: 0 }));
  // It begins with a clean-up, and does the next one in half a minute.
  await migrate(settings.databaseUrl);
  const sql = postgres(settings.databaseUrl, { max: 2, onnotice: () => undefined });
  const held = await sql.reserve();
  await held`BEGIN`;
  await held`LOCK TABLE filter_policies IN ACCESS EXCLUSIVE MODE`;
  await using dispatcher = await startDispatcher(settings);
  let isCleaningUp = false;
  while (!isCleaningUp) {
    const waiting = await sql`
      SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'sluice-dispatcher-maintenance' AND wait_event_type = 'Lock'`;
    isCleaningUp = waiting.length > 0;
  }
  dispatcher.signal("SIGTERM");
  expect(await dispatcher.exited).toEqual({ code: 0, signal: null });
  await held`ROLLBACK`;
  held.release();
  await sql.end();
});

test("a dispatcher finishes what it has begun, and another goes on", async () => {
  const dispatcher = installation.own(await startDispatcher(installation.settings));
  const queue = await survivor.subscribedQueue({ visibilityTimeout: 600 });
  const bodies = Array.from({ length: 200 }, (_, index) => `${index}`);
  const publishing = Promise.all(bodies.map((body) => survivor.publish(queue, body)));
  dispatcher.signal("SIGTERM");
  await publishing;
  expect(await dispatcher.exited).toEqual({ code: 0, signal: null });

  const received: string[] = [];
  while (received.length < bodies.length) {
    const messages = await survivor.receive(queue, { maxMessages: 1_000, wait: 20 });
    received.push(...messages.map(({ body }) => body));
  }
  expect(received).toHaveLength(bodies.length);
  expect(new Set(received)).toEqual(new Set(bodies));
});

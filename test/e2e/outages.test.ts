import {
  freePort,
  startApi,
  startDispatcher,
  startNats,
  startPostgres,
  type NatsServer,
  type PostgresServer,
  type ServiceProcess,
} from "@sluice/stack";
import { temporaryFolder } from "@sluice/stack/testing";
import connect from "postgres";
import { afterAll, expect, test, vi } from "vitest";
import { Client } from "./http.ts";
import { LogLines } from "./log-lines.ts";

/*
 * One Sluice through its bad days: it is started before Postgres and NATS are, loses Postgres and gets it back, loses
 * NATS and gets it back. The tests build on each other; its two processes are the same all the time.
 */
const patience = { timeout: 60_000, interval: 50 };
vi.setConfig({ testTimeout: 120_000 });
const folder = await temporaryFolder();
const ports = { postgres: await freePort(), nats: await freePort() };
const logs = { api: new LogLines(), dispatcher: new LogLines() };
let postgres: PostgresServer;
let nats: NatsServer;
let api: ServiceProcess;
let dispatcher: ServiceProcess;
let client: Client;
let queue: string;

afterAll(async () => {
  for (const child of [api, dispatcher, nats, postgres]) await child?.stop();
  await folder[Symbol.asyncDispose]();
});

async function startDatabase(): Promise<void> {
  postgres = await startPostgres({ dataDir: folder.path, port: ports.postgres, durable: false });
}

async function startBus(): Promise<void> {
  nats = await startNats({ storeDir: `${folder.path}/nats`, port: ports.nats });
}

/** Publishes, and receives it as a service would: with a long poll. Gives the body that arrived. */
async function delivered(body: string): Promise<string | undefined> {
  await client.publish(queue, body);
  const [message] = await client.receive(queue, { wait: 20 });
  if (message) await client.acknowledge(queue, message.receiptHandle);
  return message?.body;
}

test("started before Postgres and NATS, the processes wait for Postgres and say so, and serve without NATS and with it", async () => {
  // Postgres has to be there once to have a password.
  await startDatabase();
  const databaseUrl = postgres.url;
  await postgres.stop();
  const settings = {
    databaseUrl,
    natsUrl: `nats://127.0.0.1:${ports.nats}`,
    env: { HOST: "127.0.0.1", LOG_LEVEL: "info" },
  };
  const starting = Promise.all([
    startApi({ ...settings, onLine: logs.api.add }),
    startDispatcher({ ...settings, onLine: logs.dispatcher.add }),
  ]);
  const awaited = { level: "warn", event: "dependency.awaited" };
  for (const log of Object.values(logs)) await log.has({ ...awaited, what: "Postgres" });
  await startDatabase();
  const stranger = connect(postgres.adminUrl, { max: 1 });
  await stranger`SELECT`;
  for (const log of Object.values(logs)) await log.has({ ...awaited, what: "NATS" });
  [api, dispatcher] = await starting;
  await logs.dispatcher.has({ level: "warn", event: "horizon.invisible" });
  await stranger.end();

  const unsafe = { event: "database.unsafe", settings: ["fsync", "full_page_writes"] };
  for (const log of Object.values(logs)) await log.has({ level: "warn", ...unsafe });

  client = new Client(api.url);
  expect(await client.call("GET", "/readyz")).toMatchObject({ status: 200 });
  queue = await client.subscribedQueue();
  expect(await delivered("served without NATS")).toBe("served without NATS");
  await startBus();
  const available = { event: "dependency.available", what: "NATS" };
  for (const log of Object.values(logs)) await log.has(available);
  expect(await delivered("served")).toBe("served");
});

test("without Postgres every call is answered 503 with Retry-After, and it recovers by itself", async () => {
  const kept = await client.publish(queue, "kept");
  await postgres.kill("SIGKILL");
  const down = { status: 503, body: { postgres: "down" } };
  // Its sessions outlive it by a moment.
  await vi.waitFor(
    async () => expect(await client.call("GET", "/readyz")).toMatchObject(down),
    patience,
  );

  for (const [method, path, body] of [
    ["POST", `/v1/topics/${queue}/messages`, { messages: [{ body: "refused" }] }],
    ["POST", `/v1/queues/${queue}/receive`, { wait: 1 }],
    ["POST", "/v1/queues", { name: "refused" }],
    ["GET", `/v1/queues/${queue}`, undefined],
  ] as const) {
    const { status, headers, body: answer } = await client.call(method, path, body);
    expect([path, status, answer]).toMatchObject([path, 503, { error: { code: "unavailable" } }]);
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
  }
  expect(await client.call("GET", "/healthz")).toMatchObject({ status: 200 });
  await vi.waitFor(async () => {
    const metrics = await (await fetch(`${dispatcher.url}/metrics`)).text();
    expect(metrics).toMatch(/sluice_background_failures_total\{duty="sweeper"\} [1-9]/);
  }, patience);

  await startDatabase();
  await vi.waitFor(() => client.expect("GET", "/readyz"), patience);
  const [message, ...more] = await client.receive(queue, { wait: 20 });
  expect(message).toMatchObject({ messageId: kept[0], body: "kept" });
  expect(more).toEqual([]);
  await client.acknowledge(queue, message!.receiptHandle);
  expect(await delivered("after Postgres")).toBe("after Postgres");
});

test("without NATS messages still arrive, and with it again as soon as ever", async () => {
  await nats.kill("SIGKILL");
  for (const log of Object.values(logs)) await log.has({ event: "bus.disconnected" });
  expect(await delivered("without NATS")).toBe("without NATS");
  expect(await client.call("GET", "/readyz")).toMatchObject({ status: 200 });

  await startBus();
  for (const log of Object.values(logs)) await log.has({ event: "bus.reconnected" });
  expect(await delivered("with NATS again")).toBe("with NATS again");
});

test("a process of which all connections wait for a lock is ready nevertheless", async () => {
  const busy = await startApi({
    databaseUrl: postgres.url,
    natsUrl: nats.url,
    env: { HOST: "127.0.0.1", DATABASE_POOL: "1" },
  });
  const locker = connect(postgres.url, { max: 1 });
  let receiving: Promise<unknown> | undefined;
  try {
    const other = new Client(busy.url);
    await locker.begin(async (tx) => {
      await tx`LOCK TABLE slices IN ACCESS EXCLUSIVE MODE`;
      receiving = other.receive(queue);
      await vi.waitFor(async () => {
        const [waiting] = await tx`
          SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
          WHERE relation = 'slices'::regclass AND NOT granted AND application_name = 'sluice-api'`;
        expect(waiting).toBeDefined();
      }, patience);
      expect(await other.call("GET", "/readyz")).toMatchObject({ status: 200 });
    });
    expect(await receiving).toEqual([]);
  } finally {
    await locker.end();
    await busy.stop();
  }
});

test("through all of it nothing was lost or doubled, and no process was", async () => {
  expect(await client.counts(queue)).toMatchObject({ visible: 0, inFlight: 0, delayed: 0 });
  expect([api.running, dispatcher.running]).toEqual([true, true]);
  const crashes = [...logs.api.all, ...logs.dispatcher.all].filter(
    ({ level }) => level === "fatal",
  );
  expect(crashes).toEqual([]);
});

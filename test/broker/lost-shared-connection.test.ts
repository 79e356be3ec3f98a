import { setImmediate, setTimeout as delay } from "node:timers/promises";

import { connectDatabase, statement } from "@sluice/database";
import { afterAll, expect, test, vi } from "vitest";

import { Broker } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { until } from "./interleaving.ts";

const broker = await Broker.start({ engines: 0, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
// It gives up a connection that is silent for five seconds. Here one is stopped, for as long as the test takes.
const silenceMs = 60_000;
const { databaseUrl: url } = broker;
await broker.startEngine(
  connectDatabase({ url, pool: 4, name: "test", traceHours: 12, silenceMs }),
);
const client = broker.client();
const queue = await broker.newQueue();

/** Asks for the process of Postgres that serves what shares a commit. */
function askBackend() {
  return broker.engine.database.shared.inOneCommit((sql) => [
    statement(sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`, (rows) => rows[0]!.pid),
  ]);
}

async function sharedBackend(): Promise<number> {
  const outcome = await askBackend();
  if ("error" in outcome) throw outcome.error;
  return outcome.results[0]!;
}

test("while the connection of what shares a commit is silent, receives and acknowledgements go on", async () => {
  const other = await broker.newQueue();
  await client.send(other, ["m"]);
  const backend = await sharedBackend();
  process.kill(backend, "SIGSTOP");
  let isStored = false;
  const stuck = client.send(queue, ["stuck"]).then(() => (isStored = true));
  try {
    await setImmediate();
    expect(await client.receive(await broker.newQueue(), { wait: 0 })).toEqual([]);
    const received = await client.receive(other, { wait: 0 });
    expect(bodiesOf(received)).toEqual(["m"]);
    expect(await client.acknowledge(other, received)).toEqual(["ok"]);
    expect(isStored).toBe(false);
  } finally {
    process.kill(backend, "SIGCONT");
  }
  await stuck;
  const received = await client.receive(queue, { wait: 0 });
  expect(bodiesOf(received)).toEqual(["stuck"]);
  await client.acknowledge(queue, received);
});

test("what comes just after a round that is not answered is not sent behind it", async () => {
  await client.send(queue, ["m"]);
  const received = await client.receive(queue, { wait: 0 });
  const backend = await sharedBackend();
  process.kill(backend, "SIGSTOP");
  const round = vi.spyOn(broker.engine.database.shared, "inOneCommit");
  const stuck = client.send(queue, ["stuck"]);
  try {
    // From when it was sent on: behind one that is younger others are sent.
    await until(() => Promise.resolve(round.mock.calls.length > 0));
    await delay(20);
    expect(await client.acknowledge(queue, received)).toEqual(["ok"]);
  } finally {
    round.mockRestore();
    process.kill(backend, "SIGCONT");
  }
  await stuck;
  expect(await client.finish(queue)).toEqual(["stuck"]);
});

test("what waits for its round while the process stands still for minutes is not stored: it may have been repeated elsewhere", async () => {
  await client.send(queue, ["m"]);
  const received = await client.receive(queue, { wait: 0 });
  const backend = await sharedBackend();
  const round = vi.spyOn(broker.engine.database.shared, "inOneCommit");
  let late = 0;
  const started = performance.now();
  const clock = vi.spyOn(performance, "now").mockImplementation(() => started + late);
  // Nothing goes by others before its time.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  process.kill(backend, "SIGSTOP");
  const acknowledged = client.acknowledge(queue, received).catch(() => undefined);
  try {
    await until(() => Promise.resolve(round.mock.calls.length > 0));
    // Behind a round that is younger others are sent.
    late = 20;
    const refused = expect(client.send(queue, ["late"])).rejects.toMatchObject({
      code: "unavailable",
    });
    for (let turn = 0; turn < 10; turn += 1) await setImmediate();
    late = 151_000;
    vi.advanceTimersByTime(100);
    await refused;
  } finally {
    vi.useRealTimers();
    clock.mockRestore();
    round.mockRestore();
    process.kill(backend, "SIGCONT");
  }
  await acknowledged;
  expect(bodiesOf(await client.drain(queue))).toEqual([]);
});

test("when it does not know its statements any more all is done all the same", async () => {
  for (const body of ["a", "b"]) {
    await client.send(queue, [body]);
    await client.acknowledge(queue, await client.receive(queue, { wait: 0 }));
  }
  await client.send(queue, ["last"]);
  const received = await client.receive(queue, { wait: 0 });
  const backend = await sharedBackend();
  await broker.engine.database.shared.inOneCommit((sql) => [
    statement(sql.unsafe("DEALLOCATE ALL"), () => []),
  ]);
  process.kill(backend, "SIGSTOP");
  const sent = client.send(queue, ["more"]);
  await delay(3);
  const acknowledged = client.acknowledge(queue, received);
  await delay(3);
  process.kill(backend, "SIGCONT");
  expect(await sent).toHaveLength(1);
  expect(await acknowledged).toEqual(["ok"]);
  expect(await client.finish(queue)).toEqual(["more"]);
  expect(await sharedBackend()).not.toBe(backend);
});

test("while it cannot be had all go by others", async () => {
  const { sql } = broker.engine.database;
  const database = new URL(broker.databaseUrl).pathname.slice(1);
  // All that the pool may have: from here on there is room for no other.
  await Promise.all(Array.from({ length: 12 }, () => sql`SELECT pg_sleep(0.05)`));
  const backend = await sharedBackend();
  await broker.sql.unsafe(`ALTER DATABASE "${database}" CONNECTION LIMIT 1`);
  try {
    await broker.sql`SELECT pg_terminate_backend(${backend}, 5000)`;
    await expect.poll(askBackend, { timeout: 10_000 }).toMatchObject({ error: { code: "53300" } });
    for (const body of ["a", "b", "c"]) {
      const receiving = client.receive(queue, { wait: 20 });
      await client.send(queue, [body]);
      const received = await receiving;
      expect(bodiesOf(received)).toEqual([body]);
      expect(await client.acknowledge(queue, received)).toEqual(["ok"]);
    }
  } finally {
    await broker.sql.unsafe(`ALTER DATABASE "${database}" CONNECTION LIMIT -1`);
  }
});

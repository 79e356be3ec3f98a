import { setTimeout as delay } from "node:timers/promises";

import { connectDatabase } from "@sluice/database";
import { afterAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { Client } from "./client.ts";
import { holdTable, holdWith, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());

test("queues that are read together are what each is when it is read alone", async () => {
  const queues = broker.engines[0]!.queues;
  const deadLetters = await broker.newQueue();
  const plain = await broker.newQueue({ receiveWait: 20 });
  const withDeadLetters = await broker.newQueue({
    redrive: { deadLetterQueue: deadLetters, maxReceiveCount: 3 },
  });
  await broker.newQueue();
  const found = await queues.findAll(ACCOUNT, [plain, "there-is-none", withDeadLetters]);
  expect([...found.keys()].sort()).toEqual([plain, withDeadLetters].sort());
  expect(found.get(plain)).toEqual(await queues.find(ACCOUNT, plain));
  expect(found.get(withDeadLetters)).toEqual(await queues.find(ACCOUNT, withDeadLetters));
  expect(await queues.findAll("999999999999", [plain])).toEqual(new Map());
});

test("queues that are asked for at once are looked up together: another account does not wait for the thousands of one", async () => {
  const { queues } = broker.engines[0]!;
  const name = await broker.newQueue();
  const another = "999999999999";
  await queues.create(another, name, {});
  const held = await holdTable(broker.sql, "queues");
  const order: string[] = [];
  const find = async (account: string, asked: string) => {
    const queue = await queues.find(account, asked);
    order.push(account);
    return queue;
  };
  const first = find(ACCOUNT, name);
  const impossible = find(ACCOUNT, "\0");
  await untilBlocked(broker.sql);
  const many = Array.from({ length: 2_000 }, (_, index) =>
    find(ACCOUNT, index % 2 ? name : `there-is-none-${index}`),
  );
  const other = find(another, name);
  await held.letGo();

  const queue = await first;
  expect(queue).toMatchObject({ account: ACCOUNT, name });
  expect(await Promise.all(many)).toEqual(many.map((_, index) => (index % 2 ? queue : undefined)));
  expect(await impossible).toBeUndefined();
  expect(await other).toMatchObject({ account: another, name });
  expect(order.indexOf(another)).toBeLessThan(1_000);
});

test("changes that wait for a queue leave connections to look-ups of what others send to", async () => {
  const { queues } = broker.engines[0]!;
  const [changed, other] = await Promise.all([broker.newQueue(), broker.newQueue()]);
  const held = await holdWith(
    broker.sql,
    `SELECT FROM queues WHERE id = ${await broker.idOf(changed)} FOR UPDATE`,
  );
  let haveChanged = false;
  const changes = Promise.all(
    [1, 2].map(async (delay) => queues.update(ACCOUNT, changed, { delay })),
  ).then(() => (haveChanged = true));
  await untilBlocked(broker.sql, 2);
  broker.engines[0]!.queueDirectory.forget(ACCOUNT, other);
  await broker.client().send(other, ["m"]);
  expect(haveChanged).toBe(false);
  await held.letGo();
  await changes;
});

test("a look-up over a connection that fell silent does not stop those who come later", async () => {
  const name = await broker.newQueue();
  const database = connectDatabase({ url: broker.databaseUrl, pool: 4, silenceMs: 600_000 });
  const client = new Client(await broker.startEngine(database));
  const [backend] = await database.lookUps.execute<{ pid: number }>(
    "SELECT pg_backend_pid() AS pid",
  );
  process.kill(backend!.pid, "SIGSTOP");
  let isStored = false;
  const stuck = client.send(name, ["stuck"]).then(() => (isStored = true));
  try {
    await delay(1_100);
    await client.send(name, ["m"]);
    expect(isStored).toBe(false);
  } finally {
    process.kill(backend!.pid, "SIGCONT");
  }
  await stuck;
});

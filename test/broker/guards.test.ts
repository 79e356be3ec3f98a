import { Engine } from "@sluice/engine";
import { createInProcessBus } from "@sluice/bus";
import { afterAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { Client } from "./client.ts";

const broker = await Broker.start({ dispatchers: 0 });
const bus = createInProcessBus();
const guarded = await Engine.open({
  database: broker.database,
  bus,
  observer: broker.observer,
  directQueues: 0,
  guards: { deletedQueueName: 60, purge: 60 },
});
afterAll(async () => {
  await guarded.close();
  await bus.close();
  await broker[Symbol.asyncDispose]();
});

test("the name of a deleted queue is free again when its guard is over", async () => {
  const name = await broker.newQueue();
  await guarded.queues.delete(ACCOUNT, name);
  await broker.clock.advance(30);
  const refused = { code: "queue_deleted_recently" };
  await expect(guarded.queues.create(ACCOUNT, name, {})).rejects.toMatchObject(refused);
  await broker.clock.advance(31);
  expect(await guarded.queues.create(ACCOUNT, name, {})).toMatchObject({ created: true });
});

test("a queue that is there is found, whatever was deleted before it", async () => {
  const name = await broker.newQueue();
  await broker.engine.queues.delete(ACCOUNT, name);
  await broker.engine.queues.create(ACCOUNT, name, {});
  expect(await guarded.queues.create(ACCOUNT, name, {})).toMatchObject({ created: false });
});

test("a queue is purged again when its guard is over", async () => {
  const name = await broker.newQueue();
  const client = new Client(guarded);
  await client.send(name, ["a", "b"]);
  expect(await guarded.purge(ACCOUNT, name)).toBe(2);
  await client.send(name, ["c"]);
  await broker.clock.advance(30);
  await expect(guarded.purge(ACCOUNT, name)).rejects.toMatchObject({ code: "purge_in_progress" });
  expect(await broker.counts(name)).toMatchObject({ visible: 1 });
  await broker.clock.advance(31);
  expect(await guarded.purge(ACCOUNT, name)).toBe(1);
});

test("without guards both are possible at once", async () => {
  const name = await broker.newQueue();
  expect(await broker.engine.purge(ACCOUNT, name)).toBe(0);
  expect(await broker.engine.purge(ACCOUNT, name)).toBe(0);
  await broker.engine.queues.delete(ACCOUNT, name);
  expect(await broker.engine.queues.create(ACCOUNT, name, {})).toMatchObject({ created: true });
});

import { afterAll, expect, test, vi } from "vitest";

import { Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { change, newPair } from "./dead-letters.ts";
import { connectAll, until } from "./interleaving.ts";
import { claimsOf, connectTraced } from "./statements.ts";

const broker = await Broker.start({ engines: 1 });
const traced = await connectTraced(broker.databaseUrl);
await broker.startEngine(traced);
await Promise.all(broker.databases.map(connectAll));
afterAll(async () => {
  vi.useRealTimers();
  await broker[Symbol.asyncDispose]();
});
const client = broker.client(1);
const otherProcess = broker.client();

vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });

test("a paused queue hands out nothing, takes everything, and goes on where it was", async () => {
  const queue = await broker.newQueue({ visibilityTimeout: 60 });
  const topic = await broker.newTopic([queue]);
  await client.send(queue, ["held"]);
  const held = await client.receive(queue);
  await client.send(queue, ["a"]);
  await change(client, queue, { paused: true });
  await client.send(queue, ["b"]);
  await client.publish(topic, ["c"]);
  await until(async () => (await broker.counts(queue)).visible === 3);
  expect(await client.drain(queue)).toEqual([]);
  expect(await otherProcess.drain(queue)).toEqual([]);
  expect(await client.hide(queue, held, 120)).toEqual(["ok"]);
  expect(await client.acknowledge(queue, held)).toEqual(["ok"]);
  await change(otherProcess, queue, { paused: false });
  expect((await client.finish(queue)).sort()).toEqual(["a", "b", "c"]);
});

test("nothing goes to the dead-letter queue meanwhile", async () => {
  const pair = await newPair(broker);
  await client.send(pair.queue, ["m"]);
  await client.hide(pair.queue, await client.receive(pair.queue), 0);
  await change(client, pair.queue, { paused: true });
  expect(await client.receive(pair.queue)).toEqual([]);
  expect(await broker.counts(pair.queue)).toMatchObject({ visible: 1 });
  await change(client, pair.queue, { paused: false });
  expect(await client.receive(pair.queue)).toEqual([]);
  expect(await client.finish(pair.deadLetters)).toEqual(["m"]);
});

test.each([
  ["the same process", client],
  ["another process", otherProcess],
])("a long poll goes on when %s resumes", async (_, resumer) => {
  const queue = await broker.newQueue();
  await change(client, queue, { paused: true });
  await client.send(queue, ["m"]);
  const waiting = client.receive(queue, { wait: 20 });
  await until(async () => claimsOf(traced.statements, await broker.idOf(queue)) > 0);
  await change(resumer, queue, { paused: false });
  expect(bodiesOf(await waiting)).toEqual(["m"]);
});

test("who waits at a paused queue full of messages asks once a second, not in a loop", async () => {
  const queue = await broker.newQueue();
  const id = await broker.idOf(queue);
  await client.send(queue, numbered(100));
  await change(client, queue, { paused: true });
  const before = claimsOf(traced.statements, id);
  const waiting = client.receive(queue, { wait: 20 });
  // Else its wait could begin behind all those seconds.
  await until(() => Promise.resolve(claimsOf(traced.statements, id) > before));
  const seconds = 10;
  for (let second = 0; second < seconds; second += 1) {
    await vi.advanceTimersByTimeAsync(1_000);
    // What the second set off is over before the next one begins.
    for (let turn = 0; turn < 3; turn += 1) await broker.counts(queue);
  }
  const claims = claimsOf(traced.statements, id) - before;
  expect(claims).toBeGreaterThan(0);
  expect(claims).toBeLessThanOrEqual(seconds + 2);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(await waiting).toEqual([]);
});

import { cleanUp } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { change } from "./dead-letters.ts";
import { finishInOrder, grouped, one } from "./fifo.ts";
import { holdWith, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ engines: 2, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

async function rowsOf(queueId: string): Promise<number> {
  const [row] = await broker.sql<{ rows: number }[]>`
    SELECT ((SELECT count(*) FROM fifo_slices WHERE queue_id = ${queueId}::bigint)
          + (SELECT count(*) FROM fifo_groups WHERE queue_id = ${queueId}::bigint)
          + (SELECT count(*) FROM deduplication_ids WHERE queue_id = ${queueId}::bigint)
          + (SELECT count(*) FROM receive_attempts WHERE queue_id = ${queueId}::bigint))::int AS rows`;
  return row?.rows ?? -1;
}

describe("a purge of a FIFO queue", () => {
  test("deletes what is visible and in flight, and tells how many", async () => {
    const queue = await broker.newQueue({ fifo: true });
    await client.send(queue, [...grouped("a", 70), ...grouped("b", 3)]);
    const held = await client.receive(queue, { maxMessages: 5 });
    expect(await broker.engine.purge(ACCOUNT, queue)).toBe(73);
    expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
    expect(await client.acknowledge(queue, held)).toEqual(held.map(() => "receipt_handle_expired"));
    await client.send(queue, grouped("a", 1, 70));
    expect(await finishInOrder(client, queue)).toEqual(["a70"]);
  });

  test("leaves what is answered after it, also in a group that it is waiting for", async () => {
    const queue = await broker.newQueue({ fifo: true });
    await client.send(queue, grouped("a", 2));
    const id = await broker.idOf(queue);
    const held = await holdWith(
      broker.sql,
      `SELECT FROM fifo_groups WHERE queue_id = ${id} FOR UPDATE`,
    );
    const purging = broker.engine.purge(ACCOUNT, queue);
    await untilBlocked(broker.sql);
    const sending = otherProcess.send(queue, [...grouped("a", 1, 2), ...grouped("b", 1)]);
    await untilBlocked(broker.sql, 2);
    await held.letGo();
    expect(await purging).toBe(2);
    await sending;
    expect((await finishInOrder(client, queue)).sort()).toEqual(["a2", "b0"]);
  });
});

test("a paused FIFO queue hands out nothing; sends go on, and a waiting receive is served after the pause", async () => {
  const queue = await broker.newQueue({ fifo: true });
  await change(client, queue, { paused: true });
  await client.send(queue, grouped("a", 1));
  expect(await client.receive(queue)).toEqual([]);
  const waiting = otherProcess.receive(queue, { wait: 20 });
  await change(client, queue, { paused: false });
  expect(bodiesOf(await waiting)).toEqual(["a0"]);
});

describe("a peek into a FIFO queue", () => {
  test("shows messages in the order of their sends, page by page, and changes nothing", async () => {
    const queue = await broker.newQueue({ fifo: true });
    await client.send(queue, [...grouped("a", 70), ...grouped("b", 2)]);
    const bodies: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await broker.engine.peek(ACCOUNT, queue, { limit: 7, cursor });
      expect(page.messages.length).toBeLessThanOrEqual(7);
      bodies.push(...page.messages.map(({ body }) => body));
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    expect(bodies.filter((body) => body.startsWith("a"))).toEqual(
      bodiesOf(grouped("a", 70) as never),
    );
    expect(bodies).toHaveLength(72);
    const newest = await broker.engine.peek(ACCOUNT, queue, { order: "newest", limit: 100 });
    expect(newest.messages.map(({ body }) => body)).toEqual(bodies.toReversed());
    const [first] = await client.receive(queue);
    expect(first).toMatchObject({ body: "a0", receiveCount: 1 });
  });

  test("tells states, numbers and ids, and finds text", async () => {
    const queue = await broker.newQueue({ fifo: true });
    await client.send(queue, [...grouped("a", 3), one("b", "needle")]);
    const [held] = await client.receive(queue);
    const inFlight = await broker.engine.peek(ACCOUNT, queue, { state: "inFlight" });
    expect(inFlight.messages).toMatchObject([
      {
        body: "a0",
        groupId: "a",
        deduplicationId: "a0",
        sequenceNumber: held!.sequenceNumber,
        receiveCount: 1,
      },
    ]);
    const found = await broker.engine.peek(ACCOUNT, queue, { search: "NEEDLE" });
    expect(found.messages.map(({ body }) => body)).toEqual(["needle"]);
    await expect(broker.engine.peek(ACCOUNT, queue, { cursor: "x" })).rejects.toMatchObject({
      code: "invalid_request",
    });
  });
});

test("a delayed message is taken back by its id, and what comes after it is not held up", async () => {
  const queue = await broker.newQueue({ fifo: true, delay: 600 });
  const [first, second] = await client.send(queue, grouped("a", 3));
  await change(client, queue, { delay: 0 });
  await client.send(queue, grouped("a", 1, 3));
  await broker.engine.cancelDelayed(ACCOUNT, queue, second!);
  await expect(broker.engine.cancelDelayed(ACCOUNT, queue, second!)).rejects.toMatchObject({
    code: "message_not_found",
  });
  expect(await broker.counts(queue)).toEqual({ visible: 1, inFlight: 0, delayed: 2 });
  await broker.engine.cancelDelayed(ACCOUNT, queue, first!);
  await broker.clock.advance(600);
  expect(await finishInOrder(client, queue)).toEqual(["a2", "a3"]);
});

describe("a message past the retention of its queue", () => {
  test("is not handed out, and its group goes on with the next one", async () => {
    const queue = await broker.newQueue({ fifo: true, retention: 60 });
    await client.send(queue, grouped("a", 2));
    await broker.clock.advance(50);
    await client.send(queue, grouped("a", 1, 2));
    await broker.clock.advance(11);
    expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toEqual(["a2"]);
    expect((await broker.counts(queue)).inFlight).toBe(1);
  });

  test("is removed by the clean-up, with its group", async () => {
    const queue = await broker.newQueue({ fifo: true, retention: 60 });
    await client.send(queue, grouped("a", 2));
    await broker.clock.advance(400);
    await cleanUp(broker.database.maintenance);
    expect(await rowsOf(await broker.idOf(queue))).toBe(0);
    await client.send(queue, grouped("a", 1));
    expect(await finishInOrder(client, queue)).toEqual(["a0"]);
  });
});

test("the clean-up waits for nobody who holds a group, and locks no others meanwhile", async () => {
  const [one, other] = [
    await broker.newQueue({ fifo: true, retention: 60 }),
    await broker.newQueue({ fifo: true, retention: 60 }),
  ];
  for (const queue of [one, other]) await client.send(queue, grouped("a", 1));
  await broker.clock.advance(61);
  const held = await holdWith(
    broker.sql,
    `SELECT FROM fifo_groups WHERE queue_id = ${await broker.idOf(other)} FOR UPDATE`,
  );
  expect(await cleanUp(broker.database.maintenance)).toMatchObject({ expiredMessages: 1 });
  await held.letGo();
  expect(await cleanUp(broker.database.maintenance)).toMatchObject({ expiredMessages: 1 });
});

test("the clean-up finds expired messages also in a group that was handed out lately", async () => {
  const queue = await broker.newQueue({ fifo: true, retention: 60 });
  await client.send(queue, grouped("a", 2));
  await broker.clock.advance(30);
  expect(await client.receive(queue, { visibilityTimeout: 1_000 })).toHaveLength(1);
  await broker.clock.advance(31);
  expect(await cleanUp(broker.database.maintenance)).toMatchObject({ expiredMessages: 2 });
});

test("the clean-up takes expired messages of more groups than it locks at once", async () => {
  const queue = await broker.newQueue({ fifo: true, retention: 60 });
  const each = Array.from({ length: 1_200 }, (_, group) => grouped(`g${group}`, 1)[0]!);
  for (let start = 0; start < each.length; start += 300)
    await client.send(queue, each.slice(start, start + 300));
  await broker.clock.advance(61);
  const removed = await cleanUp(broker.database.maintenance, { thorough: false });
  expect(removed).toMatchObject({ expiredMessages: 1_200 });
  // Deduplication ids, for four minutes more.
  expect(await rowsOf(await broker.idOf(queue))).toBe(1_200);
});

test("the clean-up keeps the payloads of what rests in FIFO queues, and removes the others", async () => {
  const queue = await broker.newQueue({ fifo: true });
  await client.send(queue, grouped("a", 1));
  await client.send(queue, grouped("b", 1));
  await client.acknowledge(queue, await client.receive(queue));
  await broker.clock.advance(120);
  const removed = await cleanUp(broker.database.maintenance);
  expect(removed?.payloads).toBeGreaterThanOrEqual(1);
  expect(bodiesOf(await otherProcess.receive(queue))).toEqual(["b0"]);
});

test("a deleted FIFO queue leaves nothing behind, and its name begins anew", async () => {
  const queue = await broker.newQueue({ fifo: true });
  await client.send(queue, grouped("a", 3));
  await client.receive(queue, { attemptId: "one" });
  const id = await broker.idOf(queue);
  await broker.engine.queues.delete(ACCOUNT, queue);
  broker.engine.changed({ kind: "queue", account: ACCOUNT, name: queue });
  await cleanUp(broker.database.maintenance);
  expect(await rowsOf(id)).toBe(0);
  await broker.engine.queues.create(ACCOUNT, queue, { fifo: true });
  await client.send(queue, grouped("a", 1));
  expect(await finishInOrder(client, queue)).toEqual(["a0"]);
});

describe("settings that do not fit together are refused:", () => {
  test.each([
    ["a FIFO queue without .fifo", "plain", { fifo: true }],
    ["a standard queue with .fifo", "a.fifo", {}],
    [
      "content-based deduplication of a standard queue",
      "plain",
      { contentBasedDeduplication: true },
    ],
    ["a deduplication scope of a standard queue", "plain", { deduplicationScope: "messageGroup" }],
    [
      "a throughput limit that needs another scope",
      "a.fifo",
      { fifo: true, fifoThroughputLimit: "perMessageGroupId" },
    ],
  ] as const)("%s", async (_, name, settings) => {
    await expect(broker.engine.queues.create(ACCOUNT, name, settings)).rejects.toMatchObject({
      code: "invalid_request",
    });
  });

  test("a queue stays of its kind", async () => {
    const queue = await broker.newQueue({ fifo: true });
    await expect(
      broker.engine.queues.update(ACCOUNT, queue, { fifo: false }),
    ).rejects.toMatchObject({ code: "invalid_request" });
  });

  test("a FIFO queue is not subscribed to a standard topic", async () => {
    const topic = await broker.newTopic();
    const queue = await broker.newQueue({ fifo: true });
    await expect(broker.engine.subscribe(ACCOUNT, topic, queue)).rejects.toMatchObject({
      code: "invalid_request",
    });
  });
});

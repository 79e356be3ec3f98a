import { connect, createAdmin, json, queue } from "@sluice/client";
import type { PeekOptions, QueueReference } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let connection: ReturnType<typeof connect>;
let admin: ReturnType<typeof createAdmin>;

beforeAll(async () => {
  sluice = await startSluice();
  connection = connect({ url: sluice.url });
  admin = createAdmin(connection);
});
afterAll(() => sluice[Symbol.asyncDispose]());

async function peeked(of: QueueReference, options?: PeekOptions) {
  const all = [];
  for await (const message of admin.queues.peek(of, options)) all.push(message);
  return all;
}

test("a message that fails too often is a dead letter, and a redrive brings it back", async () => {
  const dead = queue(unique("dead"));
  const work = queue(unique("work"));
  await admin.queues.create(dead, { redriveAllow: { permission: "byQueue", queues: [work.name] } });
  const redrive = { deadLetterQueue: dead.name, maxReceiveCount: 1 };
  await expect(admin.queues.create(work, { redrive })).resolves.toMatchObject({ redrive });
  await createProducer(connection).send(work, "m", { attributes: { n: 1 } });
  // The second time nobody gets it: it is moved instead.
  await expect(receive(work.name)).resolves.toHaveLength(1);
  await expect(receive(work.name)).resolves.toEqual([]);

  await expect(peeked(dead)).resolves.toEqual([
    {
      messageId: expect.any(String),
      body: "m",
      attributes: { n: 1 },
      state: "visible",
      receiveCount: 0,
      sentAt: expect.any(Date),
      visibleAt: expect.any(Date),
      failureReason: "received 1 time without being acknowledged",
    },
  ]);
  const started = await admin.queues.redrives.start(dead);
  expect(started).toMatchObject({ queue: dead.name, status: "running", moved: 0, total: 1 });
  expect(started.createdAt).toBeInstanceOf(Date);
  const finished = await admin.queues.redrives.finished(dead, started.id);
  expect(finished).toMatchObject({ id: started.id, status: "completed", moved: 1 });
  expect(finished.finishedAt).toBeInstanceOf(Date);
  await expect(admin.queues.redrives.cancel(dead, started.id)).rejects.toMatchObject({
    code: "redrive_not_found",
    message: expect.stringContaining("is completed already; only a running one can be cancelled"),
  });
  await expect(peeked(work)).resolves.toMatchObject([{ body: "m" }]);
  await expect(peeked(dead)).resolves.toEqual([]);
});

test("what died because its body is not what its queue declares is read as text", async () => {
  const work = queue(unique("work"), json<number>());
  const dead = queue(unique("dead"));
  await admin.queues.create(dead);
  await admin.queues.create(work, { redrive: { deadLetterQueue: dead.name, maxReceiveCount: 1 } });
  await createProducer(connection).send(queue(work.name), "no JSON");
  const handled: number[] = [];
  await using worker = createConsumer(connection, work, { backoff: () => 0, onError: () => {} });
  const working = worker.run(({ payload }) => handled.push(payload));
  const looksAfter = createConsumer(connection, dead);
  const read: unknown[] = [];
  await looksAfter.run(({ payload, failureReason }) => {
    read.push([payload, failureReason]);
    void looksAfter.stop();
  });
  await worker.stop();
  await working;
  expect(handled).toEqual([]);
  expect(read).toEqual([["no JSON", expect.stringContaining("JSON")]]);
});

/** Receives what is visible and leaves it visible. */
async function receive(from: string): Promise<unknown[]> {
  const path = `/v1/queues/${from}/receive`;
  const body = { maxMessages: 10, visibilityTimeout: 0 };
  const answer = await connection.request({ method: "POST", path, body });
  return (answer as { messages: unknown[] }).messages;
}

test("a redrive has a destination and a rate, runs alone, is listed and cancelled", async () => {
  const [dead, elsewhere] = [unique("dead"), unique("elsewhere")];
  await admin.queues.create(dead);
  await admin.queues.create(elsewhere);
  await createProducer(connection).send(queue(dead), "m");
  const options = { destination: queue(elsewhere), rate: 1 };
  const redrive = await admin.queues.redrives.start(dead, options);
  expect(redrive).toMatchObject({ destination: elsewhere, rate: 1 });
  await expect(admin.queues.redrives.start(dead)).rejects.toMatchObject({
    code: "redrive_running",
    status: 409,
  });
  const listed = await admin.queues.redrives.list(dead);
  expect(listed.map(({ id }) => id)).toEqual([redrive.id]);
  const giveUp = new AbortController();
  const waiting = admin.queues.redrives.finished(dead, redrive.id, { signal: giveUp.signal });
  giveUp.abort();
  await expect(waiting).rejects.toMatchObject({ code: "aborted" });
  await expect(admin.queues.redrives.cancel(dead, crypto.randomUUID())).rejects.toMatchObject({
    code: "redrive_not_found",
    message: expect.stringContaining("has no redrive"),
  });
  const other = unique("other");
  await admin.queues.create(other);
  await expect(admin.queues.redrives.get(other, redrive.id)).rejects.toMatchObject({
    code: "redrive_not_found",
  });
  await expect(admin.queues.redrives.start(dead, { destination: dead })).rejects.toMatchObject({
    code: "invalid_request",
    details: [{ path: "destination" }],
  });
});

test("a queue is paused, resumed and purged", async () => {
  const work = queue(unique("work"));
  await admin.queues.create(work);
  await createProducer(connection).send(work, "m");
  await expect(admin.queues.pause(work)).resolves.toMatchObject({ paused: true });
  await expect(admin.queues.get(work)).resolves.toMatchObject({ paused: true });
  await expect(admin.queues.resume(work)).resolves.toMatchObject({ paused: false });
  await expect(admin.queues.purge(work)).resolves.toBe(1);
  await expect(admin.queues.purge(work)).resolves.toBe(0);
});

test("a peek walks the pages, in either order, and searches", async () => {
  const work = queue(unique("work"));
  await admin.queues.create(work);
  await createProducer(connection).sendAll(
    work,
    Array.from({ length: 25 }, (_, index) => `m${index}`),
  );
  const bodies = (await peeked(work, { pageSize: 10 })).map(({ body }) => body);
  expect(bodies).toHaveLength(25);
  expect(new Set(bodies).size).toBe(25);
  const newest = await peeked(work, { pageSize: 10, order: "newest" });
  expect(newest.map(({ body }) => body)).toEqual(bodies.toReversed());
  const found = await peeked(work, { search: "M7", state: "visible" });
  expect(found.map(({ body }) => body)).toEqual(["m7"]);
  await expect(peeked(work, { state: "delayed" })).resolves.toEqual([]);
});

test("a delayed message is cancelled by its id, once", async () => {
  const work = queue(unique("work"));
  await admin.queues.create(work, { delay: 3_600 });
  const { messageId } = await createProducer(connection).send(work, "m");
  await admin.queues.cancelDelayed(work, messageId);
  await expect(peeked(work)).resolves.toEqual([]);
  await expect(admin.queues.cancelDelayed(work, messageId)).rejects.toMatchObject({
    code: "message_not_found",
    status: 404,
  });
});

import { connect, createAdmin, json, queue, topic } from "@sluice/client";
import type { Connection } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import type { ReceivedMessage } from "@sluice/consumer";
import { PublishError, createProducer } from "@sluice/producer";
import { setTimeout as sleep } from "node:timers/promises";

import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { z } from "zod";
import { faultyProxy } from "./faulty-proxy.ts";
import { hangUp, scriptedServer, silence } from "./scripted-server.ts";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
let connection: Connection;

beforeAll(async () => {
  sluice = await startSluice();
  connection = connect({ url: sluice.url });
});
afterAll(() => sluice[Symbol.asyncDispose]());

async function newQueue(settings?: { maxMessageSize?: number }) {
  const numbers = queue(unique("numbers"), json<number>());
  await createAdmin(connection).queues.create(numbers, settings);
  return numbers;
}

/** Takes that many messages, in the order received. */
async function drain<P>(
  from: Parameters<typeof createConsumer<P>>[1],
  count: number,
): Promise<ReceivedMessage<P>[]> {
  const consumer = createConsumer(connection, from, { batchSize: 1_000 });
  const all: ReceivedMessage<P>[] = [];
  if (count === 0) return all;
  await consumer.runBatches((messages) => {
    all.push(...messages);
    if (all.length >= count) void consumer.stop();
  });
  return all;
}

const visible = async (name: string) =>
  (await createAdmin(connection).queues.get(name)).counts.visible;

test("a published message reaches the subscribed queue with all that it carries", async () => {
  const admin = createAdmin(connection);
  const orders = topic(unique("orders"), json<{ id: string }>());
  const billing = queue(unique("billing"), orders);
  await admin.topics.create(orders);
  await admin.queues.create(billing);
  await admin.subscribe(orders, billing);
  await using producer = createProducer(connection);
  const { messageId } = await producer.publish(
    orders,
    { id: "o-1 ✓" },
    {
      subject: "placed",
      groupId: "customer-7",
      attributes: {
        type: "order",
        size: 3,
        raw: new Uint8Array([1, 255]),
        price: { type: "Number.eur", value: "1.50" },
      },
    },
  );
  const [message] = await drain(billing, 1);
  expect(message).toMatchObject({
    id: messageId,
    payload: { id: "o-1 ✓" },
    body: '{"id":"o-1 ✓"}',
    subject: "placed",
    groupId: "customer-7",
    receiveCount: 1,
    attributes: { type: "order", size: 3, raw: new Uint8Array([1, 255]), price: 1.5 },
  });
  expect(message?.rawAttributes.price).toEqual({ type: "Number.eur", value: "1.50" });
  expect(Math.abs(Date.now() - message!.sentAt.getTime())).toBeLessThan(60_000);
  expect(message!.firstReceivedAt.getTime()).toBeGreaterThanOrEqual(message!.sentAt.getTime());
});

test("payloads of one call whose schema takes its time are checked many at once, and the first mistake is told", async () => {
  let underWay = 0;
  let most = 0;
  const schema = z.number().refine(async (value) => {
    underWay += 1;
    most = Math.max(most, underWay);
    await sleep(5 - (value % 3));
    underWay -= 1;
    return value < 250;
  });
  const slow = queue(unique("slow"), schema);
  await createAdmin(connection).queues.create(slow);
  const producer = createProducer(connection);
  const payloads = Array.from({ length: 260 }, (_, index) => index);
  await expect(producer.sendAll(slow, payloads)).rejects.toMatchObject({
    code: "schema_mismatch",
    details: [{ path: "payloads.250" }],
  });
  // Zod asks each check twice.
  expect(most).toBeGreaterThan(50);
  expect(most).toBeLessThanOrEqual(200);
  const right = payloads.slice(0, 250);
  await producer.sendAll(slow, right);
  expect((await drain(slow, 250)).map(({ payload }) => payload)).toEqual(right);
});

test("a mistake that shows at once is told only when there is none before it in the list", async () => {
  const schema = z.number().refine(async (value) => {
    await sleep(5);
    return value < 5;
  });
  const slow = queue(unique("slow"), schema);
  await createAdmin(connection).queues.create(slow);
  const producer = createProducer(connection);
  const each = (value: number) => {
    if (value === 2) throw new Error("two");
    return {};
  };
  await expect(producer.sendAll(slow, [1, 2, 9], { each })).rejects.toThrow("two");
  await expect(producer.sendAll(slow, [1, 9, 2, 9], { each })).rejects.toMatchObject({
    code: "schema_mismatch",
    details: [{ path: "payloads.1" }],
  });
});

test("messages that are not awaited one by one keep their order, however long their schemas take", async () => {
  const waits = { 3: 60, 2: 30, 1: 0 } as Record<number, number>;
  const schema = z.number().refine(async (left) => {
    await sleep(waits[left]);
    return left >= 0;
  });
  const numbers = queue(unique("numbers") + ".fifo", schema);
  await createAdmin(connection).queues.create(numbers, { fifo: true });
  await using producer = createProducer(connection);
  const send = (left: number) =>
    producer.send(numbers, left, { groupId: "g", deduplicationId: String(left) });
  const refused = expect(send(-1)).rejects.toMatchObject({ code: "schema_mismatch" });
  await Promise.all([send(3), send(2), send(1), send(0)]);
  await refused;
  expect((await drain(numbers, 4)).map(({ payload }) => payload)).toEqual([3, 2, 1, 0]);
  await send(4);
});

test("any number is sent in calls of a thousand and answered in the order given", async () => {
  const numbers = await newQueue();
  await using proxy = await faultyProxy(sluice.url);
  const producer = createProducer(connect({ url: proxy.url }));
  const payloads = Array.from({ length: 2_500 }, (_, index) => index);
  const sent = await producer.sendAll(numbers, payloads, { each: (n) => ({ attributes: { n } }) });
  expect(proxy.count("/messages")).toBe(3);
  const received = await drain(numbers, 2_500);
  const idOf = new Map(received.map(({ id, payload }) => [payload, id]));
  expect(sent.map(({ messageId }) => messageId)).toEqual(
    payloads.map((payload) => idOf.get(payload)),
  );
  expect(received.every(({ payload, attributes }) => attributes.n === payload)).toBe(true);
});

test("large messages are split by bytes", async () => {
  const texts = queue(unique("texts"));
  await createAdmin(connection).queues.create(texts);
  const payloads = Array.from({ length: 9 }, (_, index) => `${index}${"€".repeat(300_000)}`);
  await createProducer(connection).sendAll(texts, payloads);
  const received = await drain(texts, 9);
  expect(received.map(({ payload }) => payload).sort()).toEqual(payloads);
});

test.each(["cut", "unavailable", "lose answer"] as const)(
  "a message is stored once when the network fails it: %s",
  async (fault) => {
    const numbers = await newQueue();
    await using proxy = await faultyProxy(sluice.url);
    proxy.fail("/messages", fault, fault);
    const producer = createProducer(connect({ url: proxy.url, retry: { baseDelayMs: 1 } }));
    const sent = await producer.sendAll(numbers, [1, 2, 3]);
    expect(proxy.count("/messages")).toBe(3);
    expect(await visible(numbers.name)).toBe(3);
    const received = await drain(numbers, 3);
    expect(new Set(received.map(({ id }) => id))).toEqual(
      new Set(sent.map(({ messageId }) => messageId)),
    );
  },
);

test("a key of one's own makes a call repeatable by another process", async () => {
  const numbers = await newQueue();
  const idempotencyKey = unique("outbox-row");
  const payloads = Array.from({ length: 1_500 }, (_, index) => index);
  const first = await createProducer(connection).sendAll(numbers, payloads, { idempotencyKey });
  const second = await createProducer(connection).sendAll(numbers, payloads, { idempotencyKey });
  expect(second).toEqual(first);
  expect(await visible(numbers.name)).toBe(1_500);
  const other = createProducer(connection).sendAll(numbers, [1], { idempotencyKey });
  await expect(other).rejects.toMatchObject({ code: "idempotency_key_reused" });
});

test("no key of one's own is that of another one's later calls", async () => {
  const numbers = await newQueue();
  const idempotencyKey = unique("order");
  const producer = createProducer(connection);
  const payloads = Array.from({ length: 1_001 }, (_, index) => index);
  await producer.sendAll(numbers, payloads, { idempotencyKey });
  for (const separator of [".", "-", "/"])
    await producer.send(numbers, 1_000, { idempotencyKey: `${idempotencyKey}${separator}1` });
  expect(await visible(numbers.name)).toBe(1_004);
});

test("messages that are refused do not keep the others from being stored, and each has its result", async () => {
  const numbers = await newQueue();
  const texts = queue(numbers.name);
  const error = await createProducer(connection)
    .sendAll(texts, ["1", "\u0000", "3", "x".repeat(1_048_577)])
    .catch((reason: unknown) => reason as PublishError);
  expect(error).toBeInstanceOf(PublishError);
  expect((error as PublishError).results).toEqual([
    { messageId: expect.any(String) },
    { error: expect.objectContaining({ code: "invalid_message" }) },
    { messageId: expect.any(String) },
    { error: expect.objectContaining({ code: "message_too_large" }) },
  ]);
  expect(await visible(numbers.name)).toBe(2);
  const none = createProducer(connection).sendAll(texts, ["\u0000", "\u0000"]);
  await expect(none).rejects.toMatchObject({ name: "PublishError", results: [{}, {}] });
  await expect(createProducer(connection).send(texts, "\u0000")).rejects.toMatchObject({
    code: "invalid_message",
  });
});

test("messages whose options are out of rule are refused alone, each under its place, and repeatably", async () => {
  const numbers = await newQueue();
  const payloads = Array.from({ length: 2_500 }, (_, index) => index);
  const wrong = new Set([7, 1_200, 1_300, 2_499]);
  const each = (n: number) => ({ delay: wrong.has(n) ? -5 : 0 });
  const options = { each, idempotencyKey: unique("outbox-row") };
  const fail = () =>
    createProducer(connection)
      .sendAll(numbers, payloads, options)
      .catch((reason: unknown) => (reason as PublishError).results);
  const results = await fail();
  for (const n of payloads) {
    if (!wrong.has(n)) expect(results[n]).toEqual({ messageId: expect.any(String) });
    else {
      const path = `payloads.${n}.delay`;
      const message = expect.stringContaining(path) as string;
      const details = [{ path, message: expect.any(String) }];
      expect(results[n]).toMatchObject({ error: { code: "invalid_request", message, details } });
    }
  }
  expect(await visible(numbers.name)).toBe(2_496);
  expect(await fail()).toEqual(results);
  expect(await visible(numbers.name)).toBe(2_496);
});

test("an option that is out of rule for all messages takes few calls to be refused", async () => {
  const numbers = await newQueue();
  await using proxy = await faultyProxy(sluice.url);
  const producer = createProducer(connect({ url: proxy.url }));
  const send = (count: number) => producer.sendAll(numbers, Array(count).fill(1), { delay: -5 });
  await expect(send(3)).rejects.toMatchObject({
    code: "invalid_request",
    details: ["payloads.0.delay", "payloads.1.delay", "payloads.2.delay"].map((path) => ({ path })),
  });
  const failed = await send(2_500).catch((reason: unknown) => reason as PublishError);
  const { results } = failed as PublishError;
  expect(results).toHaveLength(2_500);
  for (const { error } of results) expect(error).toMatchObject({ code: "invalid_request" });
  expect(proxy.count("/messages")).toBeLessThan(20);
});

test("a call that fails between others tells the stored messages from the rest", async () => {
  const numbers = await newQueue();
  await using proxy = await faultyProxy(sluice.url);
  const impatient = connect({ url: proxy.url, retry: false });
  const payloads = Array.from({ length: 2_500 }, (_, index) => index);
  proxy.fail("/messages", "cut");
  await expect(createProducer(impatient).sendAll(numbers, payloads)).rejects.toMatchObject({
    code: "network",
  });

  proxy.fail("/messages", "pass", "cut");
  const failed = await createProducer(impatient)
    .sendAll(numbers, payloads)
    .catch((reason: unknown) => reason as PublishError);
  const { code, cause, results } = failed as PublishError;
  expect({ code, cause }).toEqual({
    code: "publish_failed",
    cause: expect.objectContaining({ code: "network" }),
  });
  expect(results.slice(0, 1_000).every(({ messageId }) => messageId !== undefined)).toBe(true);
  expect(results.slice(1_000).every(({ error }) => error?.code === "network")).toBe(true);
  expect(await visible(numbers.name)).toBe(1_000);
});

test("what became of a message is not told by the refusal of a repeat", async () => {
  const numbers = await newQueue();
  let attempts = 0;
  const fetch: typeof globalThis.fetch = async (input, init) => {
    if (++attempts === 1) {
      await globalThis.fetch(input, init);
      throw new Error("The answer was lost.");
    }
    const error = { code: "unauthenticated", message: "The token has expired." };
    return Response.json({ error }, { status: 401 });
  };
  const retry = { baseDelayMs: 1 };
  const producer = createProducer(connect({ url: sluice.url, fetch, retry }));
  await expect(producer.send(numbers, 1)).rejects.toMatchObject({
    code: "unauthenticated",
    outcomeUnknown: true,
  });
  expect(await visible(numbers.name)).toBe(1);
});

test("a destination that is not there is named", async () => {
  const producer = createProducer(connection);
  await expect(producer.publish(topic(unique("gone")), "x")).rejects.toMatchObject({
    code: "topic_not_found",
  });
  await expect(producer.sendAll(queue(unique("gone")), ["x"])).rejects.toMatchObject({
    code: "queue_not_found",
  });
});

test("an attribute that the server takes for none is refused, and not left out in silence", async () => {
  const numbers = await newQueue();
  const sent = createProducer(connection).send(numbers, 1, { attributes: { ["__proto__"]: "x" } });
  await expect(sent).rejects.toThrow(/"__proto__" is not accepted/);
});

test("any number of calls on one signal is no leak to Node, and it gives up all of them", async () => {
  await using server = await scriptedServer(silence);
  const warned = vi.fn();
  process.on("warning", warned);
  const giveUp = new AbortController();
  const { signal } = giveUp;
  const producer = createProducer(connect({ url: server.url }));
  const sent = Array.from({ length: 30 }, () => producer.send(queue("q"), "x", { signal }));
  const settled = Promise.allSettled(sent);
  await vi.waitFor(() => expect(server.seen).toHaveLength(30), { timeout: 15_000 });
  giveUp.abort();
  for (const outcome of await settled) {
    expect(outcome).toMatchObject({ reason: { code: "aborted" } });
  }
  process.off("warning", warned);
  expect(warned).not.toHaveBeenCalled();
});

test("a producer whose drain has a limit leaves the signals that its calls were given", async () => {
  const numbers = await newQueue();
  const { signal } = new AbortController();
  const added = vi.spyOn(signal, "addEventListener");
  const removed = vi.spyOn(signal, "removeEventListener");
  await using producer = createProducer(connection, { drainTimeoutMs: 60_000 });
  await producer.send(numbers, 1, { signal });
  await producer.sendAll(numbers, [2, 3], { signal });
  expect(added).toHaveBeenCalledTimes(2);
  expect(removed.mock.calls).toEqual(added.mock.calls);
});

test("a delayed message is not visible yet", async () => {
  const numbers = await newQueue();
  await createProducer(connection).send(numbers, 1, { delay: 60 });
  const { counts } = await createAdmin(connection).queues.get(numbers);
  expect(counts).toMatchObject({ visible: 0, delayed: 1 });
});

test("single sends that are under way together share calls and keep their order", async () => {
  const numbers = await newQueue();
  await using proxy = await faultyProxy(sluice.url);
  const producer = createProducer(connect({ url: proxy.url }));
  const payloads = Array.from({ length: 300 }, (_, index) => index);
  const burst = payloads.map((n) => producer.send(numbers, n));
  const later = Promise.all(burst).then(() => producer.send(numbers, 300));
  const sent = [...(await Promise.all(burst)), await later];
  await producer.close();
  expect(proxy.count("/messages")).toBe(2);
  const received = await drain(numbers, 301);
  expect(received.map(({ payload }) => payload)).toEqual([...payloads, 300]);
  expect(received.map(({ id }) => id)).toEqual(sent.map(({ messageId }) => messageId));
});

test("without batching each makes a call of its own", async () => {
  const numbers = await newQueue();
  await using proxy = await faultyProxy(sluice.url);
  await using producer = createProducer(connect({ url: proxy.url }), { batching: false });
  await Promise.all([1, 2, 3].map((n) => producer.send(numbers, n)));
  expect(proxy.count("/messages")).toBe(3);
});

test("a message for which the server refuses a shared call fails alone, and the others keep their order", async () => {
  const numbers = await newQueue();
  await using producer = createProducer(connection);
  const outcomes = await Promise.allSettled(
    [1, 2, 3, 4].map((n) => producer.send(numbers, n, { delay: n === 2 ? -1 : 0 })),
  );
  expect(outcomes).toMatchObject([
    { status: "fulfilled" },
    {
      status: "rejected",
      reason: { code: "invalid_request", details: [{ path: "payload.delay" }] },
    },
    { status: "fulfilled" },
    { status: "fulfilled" },
  ]);
  const received = await drain(numbers, 3);
  expect(received.map(({ payload }) => payload)).toEqual([1, 3, 4]);
});

test("a shared call that may have been stored is not sent again in parts", async () => {
  const numbers = await newQueue();
  let attempts = 0;
  const fetch: typeof globalThis.fetch = async (input, init) => {
    if (++attempts === 2) return new Response("<h1>Too large</h1>", { status: 413 });
    const response = await globalThis.fetch(input, init);
    return attempts === 1 ? new Response("<h1>Bad gateway</h1>", { status: 502 }) : response;
  };
  const retry = { baseDelayMs: 1 };
  await using producer = createProducer(connect({ url: sluice.url, fetch, retry }));
  const outcomes = await Promise.allSettled([1, 2, 3, 4].map((n) => producer.send(numbers, n)));
  const reason = { code: "request_too_large", outcomeUnknown: true };
  expect(outcomes).toMatchObject([{ reason }, { reason }, { reason }, { reason }]);
  expect(await visible(numbers.name)).toBe(4);
});

test("a shared call that a gateway takes for too large is sent in parts", async () => {
  const numbers = await newQueue();
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const { messages } = JSON.parse(init?.body as string) as { messages: unknown[] };
    if (messages.length > 1) return new Response("<h1>Too large</h1>", { status: 413 });
    return await globalThis.fetch(input, init);
  };
  await using producer = createProducer(connect({ url: sluice.url, fetch }));
  await Promise.all([1, 2, 3, 4].map((n) => producer.send(numbers, n)));
  expect(await visible(numbers.name)).toBe(4);
});

test("of a shared call that is sent in parts none goes after one that may still have to", async () => {
  const numbers = await newQueue();
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const { messages } = JSON.parse(init?.body as string) as { messages: { body: string }[] };
    if (messages.length > 2) return new Response("<h1>Too large</h1>", { status: 413 });
    if (messages[0]?.body === "1") return new Response("<h1>Restarting</h1>", { status: 503 });
    return await globalThis.fetch(input, init);
  };
  await using producer = createProducer(connect({ url: sluice.url, fetch, retry: false }));
  const outcomes = await Promise.allSettled([1, 2, 3, 4].map((n) => producer.send(numbers, n)));
  const reason = { code: "unavailable" };
  expect(outcomes).toMatchObject([{ reason }, { reason }, { reason }, { reason }]);
  expect(await visible(numbers.name)).toBe(0);
});

test.each(["takes no time", "takes its time"])(
  "a message that is too large for any call fails alone, where its schema %s",
  async (how) => {
    const { name } = await newQueue();
    const schema = how === "takes no time" ? z.string() : z.string().refine(async () => true);
    await using producer = createProducer(connection);
    const outcomes = await Promise.allSettled(
      ["1", "x".repeat(5_000_000), "3"].map((text) => producer.send(queue(name, schema), text)),
    );
    expect(outcomes).toMatchObject([
      { status: "fulfilled" },
      { reason: { code: "message_too_large", details: [{ path: "payload" }] } },
      { status: "fulfilled" },
    ]);
    expect(await visible(name)).toBe(2);
  },
);

test("a missing queue is told to each send of a shared call", async () => {
  await using proxy = await faultyProxy(sluice.url);
  await using producer = createProducer(connect({ url: proxy.url }));
  const outcomes = await Promise.allSettled(
    ["a", "b"].map((text) => producer.send(queue("missing"), text)),
  );
  for (const outcome of outcomes)
    expect(outcome).toMatchObject({ reason: { code: "queue_not_found" } });
  expect(proxy.count("/messages")).toBe(1);
});

test("with batching, a refused message fails alone", async () => {
  const numbers = await newQueue();
  const texts = queue(numbers.name);
  await using producer = createProducer(connection, {
    batching: { maxMessages: 2, maxDelayMs: 5 },
  });
  const outcomes = await Promise.allSettled(
    ["1", "\u0000", "3"].map((text) => producer.send(texts, text)),
  );
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(await visible(numbers.name)).toBe(2);
});

test.each([undefined, 60_000, Infinity])(
  "closing sends what still waits and resolves when it is answered: within %s ms",
  async (drainTimeoutMs) => {
    const numbers = await newQueue();
    const batching = { maxDelayMs: 60_000 };
    const producer = createProducer(connection, {
      batching,
      ...(drainTimeoutMs && { drainTimeoutMs }),
    });
    const sent = [1, 2, 3].map((n) => producer.send(numbers, n));
    await producer.close();
    expect(await visible(numbers.name)).toBe(3);
    await expect(Promise.all(sent)).resolves.toHaveLength(3);
  },
);

test("closing gives up what is not answered in time, and says of each message whether it may have been stored", async () => {
  await using server = await scriptedServer(silence);
  const producer = createProducer(connect({ url: server.url }), { drainTimeoutMs: 300 });
  const numbers = queue("numbers", json<number>());
  const never = z.number().refine(() => new Promise<boolean>(() => {}));
  const signal = new AbortController().signal;
  const underWay = [
    producer.send(numbers, 1),
    producer.sendAll(numbers, [2, 3]),
    producer.send(numbers, 4, { idempotencyKey: "four" }),
    producer.send(numbers, 5, { signal }),
  ];
  const outcomes = Promise.allSettled(underWay);
  await vi.waitFor(() => expect(server.seen).toHaveLength(4), { timeout: 15_000 });
  const unsent = Promise.allSettled([
    producer.send(numbers, 6),
    producer.send(queue("slow", never), 7),
    producer.send(queue("slow", never), 8, { idempotencyKey: "eight" }),
    producer.sendAll(queue("slow", never), [9]),
  ]);
  await producer.close();
  for (const outcome of await outcomes)
    expect(outcome).toMatchObject({ reason: { code: "aborted", outcomeUnknown: true } });
  for (const outcome of await unsent)
    expect(outcome).toMatchObject({ reason: { code: "aborted", outcomeUnknown: false } });
  expect(server.seen).toHaveLength(4);
});

test("closing gives up what is to be repeated, and does not forget what an attempt may have stored", async () => {
  await using server = await scriptedServer(hangUp);
  const connection = connect({ url: server.url, retry: { baseDelayMs: 10_000 } });
  const producer = createProducer(connection, { drainTimeoutMs: 100 });
  const sent = producer.send(queue("numbers", json<number>()), 1).catch((error: unknown) => error);
  await vi.waitFor(() => expect(server.seen).not.toHaveLength(0), { timeout: 15_000 });
  await producer.close();
  expect(await sent).toMatchObject({ code: "aborted", outcomeUnknown: true });
});

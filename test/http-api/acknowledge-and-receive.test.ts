import { afterAll, beforeEach, describe, expect, test } from "vitest";

import { ACCOUNT } from "../broker/broker.ts";
import { until } from "../broker/interleaving.ts";
import { TestApi } from "./api.ts";

const api = await TestApi.start();
afterAll(() => api[Symbol.asyncDispose]());

interface Answer {
  messages: { receiptHandle: string; body: string; receiveCount: number }[];
  acknowledged?: unknown[];
}

let names = 0;
let queue: string;
beforeEach(async () => {
  queue = await newQueue();
});

async function newQueue(settings: object = {}): Promise<string> {
  names += 1;
  const name = `queue-${names}${"fifo" in settings ? ".fifo" : ""}`;
  await api.ok("POST /v1/queues", { body: { name, ...settings } });
  return name;
}

const send = async (...bodies: string[]) =>
  await api.ok(`POST /v1/queues/${queue}/messages`, {
    body: { messages: bodies.map((body) => ({ body })) },
  });
const receive = async (body: object = {}) =>
  await api.ok<Answer>(`POST /v1/queues/${queue}/receive`, { body });
const handlesOf = ({ messages }: Answer) => messages.map(({ receiptHandle }) => receiptHandle);
const counts = async () => (await api.ok<{ counts: object }>(`GET /v1/queues/${queue}`)).counts;

test("a receive acknowledges what was received before it", async () => {
  await send("one", "two");
  const acknowledge = { receiptHandles: handlesOf(await receive()) };
  expect(await receive({ acknowledge })).toMatchObject({
    messages: [{ body: "two" }],
    acknowledged: [{ ok: true }],
  });
  expect(await counts()).toMatchObject({ visible: 0, inFlight: 1 });
});

test("messages may be named by receipts, and come by them", async () => {
  await send("one", "two");
  const first = await receive({ receipts: true, maxMessages: 2 });
  const { receipts } = first as unknown as { receipts: { receipt: string; bits: string }[] };
  const named = receipts.map(({ receipt, bits }) => ({ receipt, bits }));
  await send("three");
  const acknowledge = { receipts: named };
  expect(await receive({ receipts: true, acknowledge })).toMatchObject({
    receipts: [{ messages: [{ body: "three" }] }],
    acknowledged: named.map(() => ({ ok: true })),
  });
});

test("by receipts it says how long it had waited when it took the messages", async () => {
  await send("one");
  const first = await receive({ receipts: true });
  expect(first).toMatchObject({ waitedMs: expect.any(Number) });
  const began = performance.now();
  const waiting = receive({ receipts: true, wait: 20 });
  await until(() => Promise.resolve(api.broker.engine.receiver.isWaitedFor(ACCOUNT, queue)));
  const waits = performance.now();
  await until(() => Promise.resolve(performance.now() - waits > 1_000));
  await send("two");
  const { waitedMs } = (await waiting) as unknown as { waitedMs: number };
  expect(waitedMs).toBeGreaterThan(500);
  expect(waitedMs).toBeLessThanOrEqual(performance.now() - began);
});

test("the acknowledgement is done at once, however long the receive waits", async () => {
  await send("one");
  const acknowledge = { receiptHandles: handlesOf(await receive()) };
  const waiting = receive({ wait: 20, acknowledge });
  await until(async () => JSON.stringify(await counts()).includes('"inFlight":0'));
  await send("two");
  expect(await waiting).toMatchObject({
    messages: [{ body: "two" }],
    acknowledged: [{ ok: true }],
  });
});

test("of a FIFO queue the next of the group comes with the same call", async () => {
  queue = await newQueue({ fifo: true, contentBasedDeduplication: true });
  const messages = ["one", "two"].map((body) => ({ body, groupId: "g" }));
  await api.ok(`POST /v1/queues/${queue}/messages`, { body: { messages } });
  const acknowledge = { receiptHandles: handlesOf(await receive()) };
  expect(await receive({ acknowledge })).toMatchObject({
    messages: [{ body: "two" }],
    acknowledged: [{ ok: true }],
  });
});

test("what is not held any more is told, and the receive goes on", async () => {
  await send("one");
  const lost = { receiptHandles: handlesOf(await receive({ visibilityTimeout: 0 })) };
  // While it is visible nobody else holds it, and the first of both at once would win.
  expect(await receive()).toMatchObject({ messages: [{ body: "one", receiveCount: 2 }] });
  await send("two");
  expect(await receive({ acknowledge: lost })).toMatchObject({
    messages: [{ body: "two" }],
    acknowledged: [{ error: { code: "receipt_handle_expired" } }],
  });
});

describe("nothing is received", () => {
  test.each([
    ["a handle nobody issued", { receiptHandles: ["h"] }, "400 receipt_handle_invalid"],
    ["neither handles nor receipts", {}, "400 invalid_request"],
  ])("where the acknowledgement names %s", async (_, acknowledge, refusal) => {
    await send("one");
    const route = `POST /v1/queues/${queue}/receive`;
    expect(await api.refusal(route, { body: { wait: 20, acknowledge } })).toBe(refusal);
    // A claim that met the message has given it back.
    expect(await receive({ wait: 20 })).toMatchObject({ messages: [{ body: "one" }] });
  });

  test("by a client that goes away, but what it acknowledged is gone", async () => {
    await send("one");
    const acknowledge = { receiptHandles: handlesOf(await receive()) };
    const gone = new AbortController();
    const waiting = api.call(`POST /v1/queues/${queue}/receive`, {
      body: { wait: 20, acknowledge },
      signal: gone.signal,
    });
    await until(async () => JSON.stringify(await counts()).includes('"inFlight":0'));
    gone.abort();
    expect(await waiting).toMatchObject({ body: { messages: [] } });
    await send("two");
    expect(await receive({ wait: 20 })).toMatchObject({ messages: [{ body: "two" }] });
    expect(await counts()).toMatchObject({ visible: 0, inFlight: 1 });
  });
});

import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";

import { holdSlices, until, type Held } from "../broker/interleaving.ts";
import { TestApi } from "./api.ts";

const api = await TestApi.start({ engines: 2 });
afterAll(() => api[Symbol.asyncDispose]());

interface Message {
  receiptHandle: string;
  body: string;
  receiveCount: number;
}

interface Result {
  messages?: Message[];
  acknowledged?: unknown[];
  error?: { code: string };
}

let names = 0;
let a: string;
let b: string;
beforeEach(async () => {
  a = await newQueue();
  b = await newQueue();
});

async function newQueue(settings: object = {}): Promise<string> {
  names += 1;
  const name = `queue-${names}${"fifo" in settings ? ".fifo" : ""}`;
  await api.ok("POST /v1/queues", { body: { name, ...settings } });
  return name;
}

async function send(queue: string, ...bodies: string[]): Promise<void> {
  const messages = bodies.map((body) => ({ body }));
  await api.ok(`POST /v1/queues/${queue}/messages`, { body: { messages } });
}

async function receive(receives: object[], call: object = {}): Promise<Result[]> {
  const body = { receives, ...call };
  return (await api.ok<{ results: Result[] }>("POST /v1/receive", { body })).results;
}

const bodiesOf = (results: Result[]) =>
  results.map(({ messages = [] }) => messages.map(({ body }) => body));
const handlesOf = (results: Result[]) =>
  results.map(({ messages = [] }) => ({
    receiptHandles: messages.map(({ receiptHandle }) => receiptHandle),
  }));

async function counts(queue: string): Promise<object> {
  return (await api.ok<{ counts: object }>(`GET /v1/queues/${queue}`)).counts;
}

test.each([1, 3, 7])("%d receives get what another process has stored", async (count) => {
  const queues = await Promise.all(Array.from({ length: count }, () => newQueue()));
  for (const queue of queues) await api.broker.client(1).send(queue, [queue]);
  const results = await receive(queues.map((queue) => ({ queue })));
  expect(bodiesOf(results)).toEqual(queues.map((queue) => [queue]));
});

test("each queue has a result of its own, in the order asked for", async () => {
  await send(a, "a1", "a2", "a3");
  await send(b, "b1");
  const results = await receive([{ queue: b }, { queue: a, maxMessages: 2 }, { queue: b }]);
  expect(bodiesOf(results)).toEqual([["b1"], ["a1", "a2"], []]);
  expect(await counts(a)).toMatchObject({ visible: 1, inFlight: 2 });
});

test("several receives from one queue share what there is", async () => {
  await send(a, "1", "2", "3", "4", "5");
  const results = await receive([
    { queue: a, maxMessages: 2 },
    { queue: a, maxMessages: 2 },
    { queue: a, maxMessages: 2 },
  ]);
  expect(bodiesOf(results)).toEqual([["1", "2"], ["3", "4"], ["5"]]);
});

test("by receipts, in whole batches and in parts of them", async () => {
  await send(a, "a1", "a2");
  await send(b, "b1", "b2");
  const call = { receipts: true };
  const results = await receive([{ queue: a, maxMessages: 2 }, { queue: b }], call);
  expect(results).toMatchObject([
    { receipts: [{ bits: "3", messages: [{ body: "a1" }, { body: "a2" }] }] },
    { receipts: [{ bits: "1", messages: [{ body: "b1" }] }] },
  ]);
});

test("each queue acknowledges its own, and is told of it", async () => {
  await send(a, "a1", "a2");
  await send(b, "b1");
  const [ofA, ofB] = handlesOf(await receive([{ queue: a }, { queue: b }]));
  const results = await receive([
    { queue: a, acknowledge: ofA },
    { queue: b, acknowledge: ofB },
  ]);
  expect(results).toMatchObject([
    { messages: [{ body: "a2" }], acknowledged: [{ ok: true }] },
    { messages: [], acknowledged: [{ ok: true }] },
  ]);
  expect(await counts(b)).toMatchObject({ visible: 0, inFlight: 0 });
});

test("a message of one queue ends the wait of all", async () => {
  const waiting = receive([{ queue: a }, { queue: b }], { wait: 20 });
  await counts(a);
  await send(b, "b1");
  expect(await waiting).toMatchObject([{ messages: [] }, { messages: [{ body: "b1" }] }]);
});

test("a message that is published to both queues comes to both by one answer", async () => {
  const topic = `topic-${names}`;
  await api.ok("POST /v1/topics", { body: { name: topic } });
  for (const queue of [a, b])
    await api.ok(`POST /v1/topics/${topic}/subscriptions`, { body: { queue, rawDelivery: true } });
  // So that the receives wait, each after a look of its own.
  await receive([{ queue: a }, { queue: b }]);
  const waiting = receive([{ queue: a }, { queue: b }], { wait: 20 });
  await counts(a);
  await api.ok(`POST /v1/topics/${topic}/messages`, { body: { messages: [{ body: "m" }] } });
  const bodies = bodiesOf(await waiting);
  // A look that was under way may have answered one before the other, which may still be on its way back.
  const isWhole = bodies.every((own) => own.length > 0);
  const rest = await receive([{ queue: a }, { queue: b }], { wait: isWhole ? 1 : 20 });
  expect(bodies.map((own, index) => [...own, ...bodiesOf(rest)[index]!])).toEqual([["m"], ["m"]]);
});

test("without messages it answers when the wait is over", async () => {
  const started = performance.now();
  expect(bodiesOf(await receive([{ queue: a }, { queue: b }], { wait: 1 }))).toEqual([[], []]);
  expect(performance.now() - started).toBeGreaterThan(900);
});

test("of a FIFO queue the next of the group comes with the acknowledgement of the one before", async () => {
  const fifo = await newQueue({ fifo: true, contentBasedDeduplication: true });
  const messages = ["one", "two"].map((body) => ({ body, groupId: "g" }));
  await api.ok(`POST /v1/queues/${fifo}/messages`, { body: { messages } });
  const [, ofFifo] = handlesOf(await receive([{ queue: a }, { queue: fifo }]));
  const results = await receive([{ queue: a }, { queue: fifo, acknowledge: ofFifo }]);
  expect(bodiesOf(results)).toEqual([[], ["two"]]);
});

describe("what is wrong with one receive", () => {
  test("is told in its place, and ends the wait of the others", async () => {
    await send(b, "b1");
    const waiting = await receive([{ queue: a }, { queue: "nowhere" }], { wait: 20 });
    expect(waiting).toMatchObject([{ messages: [] }, { error: { code: "queue_not_found" } }]);
    const acknowledge = { receiptHandles: ["h"] };
    expect(await receive([{ queue: a, acknowledge }, { queue: b }])).toMatchObject([
      { error: { code: "receipt_handle_invalid" } },
      { messages: [{ body: "b1" }] },
    ]);
    await send(a, "a1");
    // A claim that met the message for the refused one has given it back.
    expect(bodiesOf(await receive([{ queue: a }], { wait: 20 }))).toEqual([["a1"]]);
  });

  test.each([
    ["no receives", { receives: [] }],
    ["a name that is none", { receives: [{ queue: "a b" }] }],
    ["more messages than a call takes", { receives: [{ queue: "a", maxMessages: 1_001 }] }],
    ["a wait of its own", { receives: [{ queue: "a", wait: 1 }] }],
    ["too many", { receives: Array.from({ length: 101 }, () => ({ queue: "a" })) }],
    [
      "too many messages together",
      { receives: Array.from({ length: 3 }, () => ({ queue: "a", maxMessages: 334 })) },
    ],
    [
      "too many handles together",
      {
        receives: Array.from({ length: 3 }, () => ({
          queue: "a",
          acknowledge: { receiptHandles: Array.from({ length: 334 }, () => "h") },
        })),
      },
    ],
  ])("is refused with the whole call: %s", async (_, body) => {
    expect(await api.refusal("POST /v1/receive", { body })).toBe("400 invalid_request");
  });
});

describe("where a lock holds up what one of them acknowledges", () => {
  let held: Held;
  let acknowledge: object;
  beforeEach(async () => {
    await send(a, "a1", "a2");
    [acknowledge] = handlesOf(await receive([{ queue: a }])) as [object];
    held = await holdSlices(api.broker.sql, await api.broker.idOf(a));
  });
  afterEach(async () => {
    await held.letGo();
    await until(async () => JSON.stringify(await counts(a)).includes('"inFlight":0'));
    const [rest] = await receive([{ queue: a, maxMessages: 10 }], { wait: 20 });
    expect(rest).toMatchObject({ messages: [{ body: "a2", receiveCount: 1 }] });
  });

  test("the others are answered, and that one is told nothing of it", async () => {
    await send(b, "b1");
    const [ofA, ofB] = await receive([{ queue: a, acknowledge }, { queue: b }]);
    expect(ofA).toEqual({ messages: [] });
    expect(ofB).toMatchObject({ messages: [{ body: "b1" }] });
  });

  test("the call ends with its wait, so that nobody goes on waiting for it", async () => {
    const receives = [{ queue: a, acknowledge }, { queue: b }];
    expect(await receive(receives, { wait: 1 })).toEqual([{ messages: [] }, { messages: [] }]);
  });
});

test("a claim that is slower than the others is waited for: nothing is received that nobody sees", async () => {
  const queues: string[] = [];
  for (let index = 0; index < 100; index += 1) {
    const name = await newQueue({ fifo: true, contentBasedDeduplication: true });
    const messages = [{ body: "m", groupId: "g" }];
    await api.ok(`POST /v1/queues/${name}/messages`, { body: { messages } });
    queues.push(name);
  }
  const seen = new Set<string>();
  while (seen.size < queues.length) {
    const receives = queues.filter((queue) => !seen.has(queue)).map((queue) => ({ queue }));
    const results = await receive(receives, { wait: 20 });
    results.forEach(({ messages = [] }, index) => {
      expect(messages.map(({ receiveCount }) => receiveCount)).toEqual(messages.map(() => 1));
      if (messages.length > 0) seen.add(receives[index]!.queue);
    });
  }
});

test("a client that goes away takes no message of any queue", async () => {
  const gone = new AbortController();
  const waiting = api.call("POST /v1/receive", {
    body: { receives: [{ queue: a }, { queue: b }], wait: 20 },
    signal: gone.signal,
  });
  await counts(a);
  gone.abort();
  expect(await waiting).toMatchObject({ body: { results: [{ messages: [] }, { messages: [] }] } });
  await send(a, "a1");
  await send(b, "b1");
  expect(bodiesOf(await receive([{ queue: a }], { wait: 20 }))).toEqual([["a1"]]);
  expect(bodiesOf(await receive([{ queue: b }], { wait: 20 }))).toEqual([["b1"]]);
});

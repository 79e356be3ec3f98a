import { afterAll, beforeEach, describe, expect, test } from "vitest";

import { until } from "../broker/interleaving.ts";
import { TestApi } from "./api.ts";

const api = await TestApi.start();
afterAll(() => api[Symbol.asyncDispose]());

interface Message {
  messageId: string;
  receiptHandle: string;
  body: string;
  receiveCount: number;
}
interface Results {
  results: { messageId?: string; ok?: true; error?: { code: string } }[];
}

let names = 0;
let topic: string;
let queue: string;
beforeEach(async () => {
  names += 1;
  topic = `topic-${names}`;
  queue = `queue-${names}`;
  await api.ok("POST /v1/topics", { body: { name: topic } });
  await api.ok("POST /v1/queues", { body: { name: queue } });
});

async function receive(body: object = {}): Promise<Message[]> {
  const route = `POST /v1/queues/${queue}/receive`;
  return (await api.ok<{ messages: Message[] }>(route, { body })).messages;
}

async function counts(): Promise<unknown> {
  return (await api.ok<{ counts: unknown }>(`GET /v1/queues/${queue}`)).counts;
}

test("a message goes from publish to acknowledge", async () => {
  await api.ok(`POST /v1/topics/${topic}/subscriptions`, { body: { queue } });
  const message = {
    body: 'an "order" 😀',
    subject: "Ordre passé",
    groupId: "tenant-1",
    attributes: { kind: { type: "String", value: "created" } },
  };
  const published = await api.call(`POST /v1/topics/${topic}/messages`, {
    body: { messages: [message] },
  });
  expect(published.status).toBe(200);
  const [received] = await receive({ wait: 20 });
  expect(received).toEqual({
    ...message,
    messageId: (published.body as Results).results[0]?.messageId,
    receiptHandle: expect.stringMatching(/^[\w-]{49}$/),
    receiveCount: 1,
    sentAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    firstReceivedAt: expect.stringMatching(/Z$/),
  });
  expect(await counts()).toMatchObject({ visible: 0, inFlight: 1, delayed: 0 });
  const acknowledged = await api.ok(`POST /v1/queues/${queue}/ack`, {
    body: { receiptHandles: [received!.receiptHandle] },
  });
  expect(acknowledged).toEqual({ results: [{ ok: true }] });
  expect(await counts()).toEqual({ visible: 0, inFlight: 0, delayed: 0, oldestMessageAge: null });
});

test("a message is sent, hidden for longer, given back and received again", async () => {
  const sent = await api.ok<Results>(`POST /v1/queues/${queue}/messages`, {
    body: { messages: [{ body: "now" }, { body: "later", delay: 0.5e3 }] },
  });
  expect(sent.results.map(({ messageId }) => typeof messageId)).toEqual(["string", "string"]);
  expect(await counts()).toMatchObject({ visible: 1, delayed: 1 });
  const [first] = await receive({ visibilityTimeout: 60 });
  const visibility = `POST /v1/queues/${queue}/visibility`;
  const entry = (visibilityTimeout: number) => ({
    body: { entries: [{ receiptHandle: first!.receiptHandle, visibilityTimeout }] },
  });
  expect(await api.ok(visibility, entry(600))).toEqual({ results: [{ ok: true }] });
  expect(await api.ok(visibility, entry(0))).toEqual({ results: [{ ok: true }] });
  const [second] = await receive();
  expect(second).toMatchObject({ messageId: first!.messageId, receiveCount: 2 });
  const unseen = { receiptHandle: second!.receiptHandle, visibilityTimeout: 0, received: false };
  expect(await api.ok(visibility, { body: { entries: [unseen] } })).toEqual({
    results: [{ ok: true }],
  });
  const [third] = await receive();
  expect(third).toMatchObject({ messageId: first!.messageId, receiveCount: 2 });
  const late = await api.ok<Results>(`POST /v1/queues/${queue}/ack`, {
    body: { receiptHandles: [first!.receiptHandle, third!.receiptHandle] },
  });
  expect(late.results).toMatchObject([{ error: { code: "receipt_handle_expired" } }, { ok: true }]);
});

test("a reason is shown with a dead letter, and to whoever looks", async () => {
  const redrive = { deadLetterQueue: queue, maxReceiveCount: 1 };
  const work = `work-${queue}`;
  await api.ok("POST /v1/queues", { body: { name: work, redrive } });
  await api.ok(`POST /v1/queues/${work}/messages`, { body: { messages: [{ body: "m" }] } });
  const route = `POST /v1/queues/${work}/receive`;
  const { messages } = await api.ok<{ messages: Message[] }>(route, { body: {} });
  const reason = 'the "bank" \\ is closed';
  const entries = [{ receiptHandle: messages[0]!.receiptHandle, visibilityTimeout: 0, reason }];
  await api.ok(`POST /v1/queues/${work}/visibility`, { body: { entries } });
  expect(await api.ok(`GET /v1/queues/${work}/peek`)).toMatchObject({
    messages: [{ body: "m", failureReason: reason }],
  });
  await api.ok(route, { body: {} });
  expect(await receive({ visibilityTimeout: 0 })).toMatchObject([
    { body: "m", failureReason: reason },
  ]);
  const byReceipt = { body: { receipts: true } };
  expect(await api.ok(`POST /v1/queues/${queue}/receive`, byReceipt)).toMatchObject({
    receipts: [{ failureReason: reason, messages: [{ body: "m" }] }],
  });
});

test("a dead letter of a subscription whose queue was deleted is shown with the reason", async () => {
  const gone = `gone-${queue}`;
  await api.ok("POST /v1/queues", { body: { name: gone } });
  const body = { queue: gone, redrivePolicy: { deadLetterQueue: queue } };
  await api.ok(`POST /v1/topics/${topic}/subscriptions`, { body });
  await api.call(`DELETE /v1/queues/${gone}`);
  await api.ok(`POST /v1/topics/${topic}/messages`, { body: { messages: [{ body: "m" }] } });
  const failureReason = `the queue "${gone}" was deleted`;
  expect(await receive({ wait: 10 })).toMatchObject([{ body: "m", failureReason }]);
  expect(await api.ok(`GET /v1/queues/${queue}/peek`)).toMatchObject({
    messages: [{ failureReason }],
  });
});

test("a visibility that passes 12 hours is refused for its entry alone", async () => {
  await api.ok(`POST /v1/queues/${queue}/messages`, {
    body: { messages: [{ body: "a" }, { body: "b" }] },
  });
  const messages = await receive({ maxMessages: 2 });
  const received = performance.now();
  // The receive was a moment ago.
  await until(() => Promise.resolve(performance.now() - received > 5));
  const [beyond, within] = messages;
  const entries = [
    { receiptHandle: beyond!.receiptHandle, visibilityTimeout: 43_200 },
    { receiptHandle: within!.receiptHandle, visibilityTimeout: 43_000 },
  ];
  expect(await api.ok(`POST /v1/queues/${queue}/visibility`, { body: { entries } })).toMatchObject({
    results: [{ error: { code: "visibility_beyond_limit" } }, { ok: true }],
  });
});

test("repeats under an Idempotency-Key answer the same, other calls under it 409", async () => {
  const call = {
    body: { messages: [{ body: "m" }] },
    headers: { "idempotency-key": `key of ${queue}` },
  };
  const route = `POST /v1/queues/${queue}/messages`;
  const first = await api.ok(route, call);
  expect(await api.ok(route, call)).toEqual(first);
  const more = { ...call, body: { messages: [{ body: "m" }, { body: "n" }] } };
  expect(await api.refusal(route, more)).toBe("409 idempotency_key_reused");
  expect(await receive({ maxMessages: 10 })).toHaveLength(1);
});

test("a message that breaks a rule is refused alone, with what to mend", async () => {
  const messages = [{ body: "good" }, { body: "bad \u0001" }];
  const { results } = await api.ok<Results>(`POST /v1/queues/${queue}/messages`, {
    body: { messages },
  });
  expect(results).toEqual([
    { messageId: expect.any(String) },
    { error: { code: "invalid_message", message: expect.stringContaining("#x20") } },
  ]);
});

test("4 MiB go in one call, a thousand messages, and come out", async () => {
  const body = "x".repeat(4_194);
  const messages = Array.from({ length: 1_000 }, () => ({ body }));
  const { results } = await api.ok<Results>(`POST /v1/queues/${queue}/messages`, {
    body: { messages },
  });
  expect(results).toHaveLength(1_000);
  const received: Message[] = [];
  await until(async () => {
    received.push(...(await receive({ maxMessages: 1_000 })));
    return received.length >= 1_000;
  });
  expect(new Set(received.map(({ messageId }) => messageId)).size).toBe(1_000);
});

describe("topics", () => {
  test("are created once, and found again with the same attributes", async () => {
    const body = { name: `${topic}-more`, tags: { team: "a" } };
    const created = await api.call("POST /v1/topics", { body });
    expect(created).toMatchObject({
      status: 201,
      body: { ...body, createdAt: expect.any(String) },
    });
    expect(await api.call("POST /v1/topics", { body })).toMatchObject({
      status: 200,
      body: created.body,
    });
    expect(await api.ok(`GET /v1/topics/${body.name}`)).toEqual(created.body);
  });

  test("change their tags and are deleted", async () => {
    const changed = await api.ok(`PATCH /v1/topics/${topic}`, { body: { tags: { a: "b" } } });
    expect(changed).toMatchObject({ name: topic, tags: { a: "b" } });
    expect(await api.call(`DELETE /v1/topics/${topic}`)).toMatchObject({
      status: 204,
      body: undefined,
    });
    expect(await api.refusal(`GET /v1/topics/${topic}`)).toBe("404 topic_not_found");
    expect(await api.refusal(`DELETE /v1/topics/${topic}`)).toBe("404 topic_not_found");
  });
});

describe("queues", () => {
  test("have SQS' defaults", async () => {
    expect(await api.ok(`GET /v1/queues/${queue}`)).toEqual({
      name: queue,
      fifo: false,
      contentBasedDeduplication: false,
      deduplicationScope: "queue",
      fifoThroughputLimit: "perQueue",
      visibilityTimeout: 30,
      delay: 0,
      retention: 345_600,
      maxMessageSize: 1_048_576,
      receiveWait: 0,
      redrive: null,
      redriveAllow: { permission: "allowAll" },
      paused: false,
      tags: {},
      createdAt: expect.any(String),
      counts: { visible: 0, inFlight: 0, delayed: 0, oldestMessageAge: null },
      totals: {
        sent: 0,
        deadLettersIn: 0,
        redrivenIn: 0,
        acknowledged: 0,
        deadLettered: 0,
        redriven: 0,
        expired: 0,
        purged: 0,
        cancelled: 0,
      },
    });
  });

  test("keep what they were created with, to the limits", async () => {
    const body = {
      name: "q".repeat(79 - queue.length) + queue,
      visibilityTimeout: 43_200,
      delay: 315_360_000,
      retention: 1_209_600,
      maxMessageSize: 1_024,
      receiveWait: 20,
      tags: { [`k${"é".repeat(127)}`]: "v".repeat(256) },
    };
    const created = await api.call("POST /v1/queues", { body });
    expect(created).toMatchObject({ status: 201, body });
    expect(await api.call("POST /v1/queues", { body })).toMatchObject({ status: 200, body });
  });

  test("change one thing at a time and are deleted", async () => {
    await api.ok(`PATCH /v1/queues/${queue}`, { body: { delay: 5 } });
    const changed = await api.ok(`PATCH /v1/queues/${queue}`, { body: { receiveWait: 1 } });
    expect(changed).toMatchObject({ delay: 5, receiveWait: 1, visibilityTimeout: 30 });
    expect((await api.call(`DELETE /v1/queues/${queue}`)).status).toBe(204);
    const receiving = api.refusal(`POST /v1/queues/${queue}/receive`, { body: {} });
    expect(await receiving).toBe("404 queue_not_found");
  });

  test("refuse messages above the size they were set to", async () => {
    await api.ok(`PATCH /v1/queues/${queue}`, { body: { maxMessageSize: 1_024 } });
    const messages = [{ body: "x".repeat(1_024) }, { body: "x".repeat(1_025) }];
    const { results } = await api.ok<Results>(`POST /v1/queues/${queue}/messages`, {
      body: { messages },
    });
    expect(results).toMatchObject([{}, { error: { code: "message_too_large" } }]);
  });
});

describe("subscriptions", () => {
  test("are made once, shown, listed and ended", async () => {
    const route = `POST /v1/topics/${topic}/subscriptions`;
    const created = await api.call(route, { body: { queue } });
    expect(created).toMatchObject({ status: 201, body: { topic, queue } });
    expect(await api.call(route, { body: { queue } })).toMatchObject({
      status: 200,
      body: created.body,
    });
    const { id } = created.body as { id: string };
    expect(await api.ok(`GET /v1/subscriptions/${id}`)).toEqual(created.body);
    expect(await api.ok(`GET /v1/topics/${topic}/subscriptions`)).toEqual({
      subscriptions: [created.body],
    });
    expect((await api.call(`DELETE /v1/subscriptions/${id}`)).status).toBe(204);
    expect(await api.refusal(`GET /v1/subscriptions/${id}`)).toBe("404 subscription_not_found");
    expect(await api.refusal(`DELETE /v1/subscriptions/${id}`)).toBe("404 subscription_not_found");
  });

  test("have settings, of which some can be changed and null clears", async () => {
    const route = `POST /v1/topics/${topic}/subscriptions`;
    const settings = {
      filterPolicy: { "order.total": [{ numeric: [">=", 100] }], $or: ["x"], constructor: [null] },
      filterPolicyScope: "MessageBody",
      rawDelivery: false,
      redrivePolicy: null,
    };
    const created = await api.ok<{ id: string }>(route, { body: { queue, ...settings } });
    expect(created).toEqual({
      id: expect.any(String),
      topic,
      queue,
      queueDeleted: false,
      ...settings,
      createdAt: expect.any(String),
    });
    expect(await api.refusal(route, { body: { queue } })).toBe("409 subscription_exists");
    const subscription = `/v1/subscriptions/${created.id}`;
    expect(await api.ok(`PATCH ${subscription}`, { body: {} })).toEqual(created);
    const changed = await api.ok(`PATCH ${subscription}`, {
      body: { filterPolicy: null, rawDelivery: true },
    });
    expect(changed).toEqual({ ...created, filterPolicy: null, rawDelivery: true });
    expect(await api.ok(`GET ${subscription}`)).toEqual(changed);
  });

  test("are tried with a message, a page at a time, and nothing is published", async () => {
    const queues = [queue, `${queue}-2`, `${queue}-3`];
    for (const name of queues.slice(1)) await api.ok("POST /v1/queues", { body: { name } });
    const ids: string[] = [];
    for (const [index, name] of queues.entries()) {
      const filterPolicy = index === 1 ? { store: ["north"] } : null;
      const body = { queue: name, filterPolicy };
      ids.push(
        (await api.ok<{ id: string }>(`POST /v1/topics/${topic}/subscriptions`, { body })).id,
      );
    }
    const attributes = { store: { type: "String", value: "south" } };
    const body = { message: { body: "m", attributes } };
    const route = `POST /v1/topics/${topic}/match?limit=2`;
    const first = await api.ok<{ matches: unknown[]; nextCursor: string }>(route, { body });
    expect(first.matches).toEqual([
      { subscription: ids[0], queue, matches: true },
      {
        subscription: ids[1],
        queue: queues[1],
        matches: false,
        refusal: { path: "store", message: '["south"] fulfils none of ["north"]' },
      },
    ]);
    expect(await api.ok(`${route}&cursor=${first.nextCursor}`, { body })).toEqual({
      matches: [{ subscription: ids[2], queue: queues[2], matches: true }],
    });
    expect(await counts()).toMatchObject({ visible: 0 });
  });

  test("without raw delivery hand out notifications, by message and by receipt", async () => {
    const body = { queue, rawDelivery: false };
    await api.ok(`POST /v1/topics/${topic}/subscriptions`, { body });
    const publish = { body: { messages: [{ body: "m" }] } };
    await api.ok(`POST /v1/topics/${topic}/messages`, publish);
    const [message] = await receive({ wait: 20 });
    await api.ok(`POST /v1/topics/${topic}/messages`, publish);
    const { receipts } = await api.ok<{ receipts: { messages: Message[] }[] }>(
      `POST /v1/queues/${queue}/receive`,
      { body: { wait: 20, receipts: true } },
    );
    for (const each of [message, receipts[0]?.messages[0]])
      expect(JSON.parse(each?.body ?? "")).toMatchObject({ Type: "Notification", Message: "m" });
  });

  test("the certificate of notifications is served", async () => {
    const { certificate, certificatePath } = await api.broker.engine.envelopes.signingKey();
    const answer = await api.app.request(certificatePath);
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe(certificate);
  });
});

describe("lists", () => {
  test("go page by page, each item once, and end", async () => {
    const all = Array.from({ length: 7 }, (_, index) => `page${names}-${index}`);
    for (const name of all) {
      await api.ok("POST /v1/topics", { body: { name } });
      await api.ok("POST /v1/queues", { body: { name } });
      await api.ok(`POST /v1/topics/${topic}/subscriptions`, { body: { queue: name } });
    }
    const prefix = `prefix=page${names}-`;
    expect(await listed(`/v1/topics?${prefix}`, "topics", "name")).toEqual(all);
    expect(await listed(`/v1/queues?${prefix}`, "queues", "name")).toEqual(all);
    const subscriptions = `/v1/topics/${topic}/subscriptions?`;
    expect(await listed(subscriptions, "subscriptions", "queue")).toEqual(all);
  });

  test("take an underscore in a prefix for what it is", async () => {
    await api.ok("POST /v1/topics", { body: { name: `a_b${names}` } });
    await api.ok("POST /v1/topics", { body: { name: `axb${names}` } });
    expect(await listed("/v1/topics?prefix=a_b", "topics", "name")).toEqual([`a_b${names}`]);
  });

  async function listed(path: string, list: string, field: string): Promise<string[]> {
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const next = cursor === undefined ? "" : `&cursor=${cursor}`;
      const page = await api.ok<Record<string, unknown>>(`GET ${path}&limit=3${next}`);
      const items = page[list] as Record<string, string>[];
      expect(items.length).toBeLessThanOrEqual(3);
      found.push(...items.map((item) => item[field] ?? ""));
      cursor = page["nextCursor"] as string | undefined;
    } while (cursor !== undefined);
    return found;
  }
});

describe("a client that goes away", () => {
  test("while it waits takes no message", async () => {
    const gone = new AbortController();
    const waiting = api.call(`POST /v1/queues/${queue}/receive`, {
      body: { wait: 20 },
      signal: gone.signal,
    });
    await counts();
    gone.abort();
    expect(await waiting).toMatchObject({ body: { messages: [] } });
    await api.ok(`POST /v1/queues/${queue}/messages`, { body: { messages: [{ body: "m" }] } });
    // A claim that was under way for it may have met the message, and given it back at once.
    expect(await receive({ wait: 20 })).toMatchObject([{ body: "m" }]);
  });
});

describe("around the API", () => {
  test("the process says that it lives, is ready, and what it counts", async () => {
    expect(await api.call("GET /healthz")).toMatchObject({ status: 200, body: { status: "live" } });
    expect(await api.call("GET /readyz")).toMatchObject({ status: 200, body: { status: "ready" } });
    const metrics = await api.app.request("/metrics");
    expect(metrics.headers.get("content-type")).toContain("text/plain");
  });

  test("the reference is served from here", async () => {
    const page = await api.app.request("/docs");
    expect(page.headers.get("content-type")).toContain("text/html");
    for (const asset of ["swagger-ui.css", "swagger-ui-bundle.js"]) {
      expect(await page.clone().text()).toContain(`/docs/${asset}`);
      const response = await api.app.request(`/docs/${asset}`);
      expect(response.status).toBe(200);
      expect((await response.text()).length).toBeGreaterThan(10_000);
    }
  });

  test("browsers are led from / to the reference, programs are told that there is nothing", async () => {
    const accept = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
    const led = await api.app.request("/", { headers: { accept } });
    expect(led.status).toBe(302);
    expect(led.headers.get("location")).toBe("/docs");
    expect(await api.refusal("GET /")).toBe("404 route_not_found");
    for (const [path, method] of [
      ["/", "PUT"],
      ["/?Action=ListQueues", "GET"],
      ["/nothing", "GET"],
    ] as const) {
      const answer = await api.app.request(path, { method, headers: { accept } });
      expect(answer.status, `${method} ${path}`).toBe(404);
    }
  });

  test("HEAD answers as GET does, without a body", async () => {
    const response = await api.app.request(`/v1/queues/${queue}`, { method: "HEAD" });
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });
});

interface Receipt {
  receipt: string;
  bits: string;
  receiveCount: number;
  messages: { messageId: string; body: string }[];
}

describe("messages by receipt", () => {
  async function receipts(body: object = {}): Promise<Receipt[]> {
    const answer = await api.ok<{ receipts: Receipt[] }>(`POST /v1/queues/${queue}/receive`, {
      body: { receipts: true, ...body },
    });
    return answer.receipts;
  }

  async function acknowledge(marked: { receipt: string; bits: string }[]): Promise<unknown> {
    return await api.ok(`POST /v1/queues/${queue}/ack`, { body: { receipts: marked } });
  }

  const send = async (count: number) =>
    await api.ok(`POST /v1/queues/${queue}/messages`, {
      body: { messages: Array.from({ length: count }, (_, index) => ({ body: `m${index}` })) },
    });

  test("what was stored together is received and acknowledged together", async () => {
    await send(63);
    const [receipt, ...others] = await receipts({ maxMessages: 100 });
    expect(others).toEqual([]);
    expect(receipt).toMatchObject({ bits: "7fffffffffffffff", receiveCount: 1 });
    expect(receipt?.messages.map(({ body }) => body)).toEqual(
      Array.from({ length: 63 }, (_, index) => `m${index}`),
    );
    const { receipt: token = "", bits = "" } = receipt ?? {};
    expect(await acknowledge([{ receipt: token, bits }])).toEqual({ results: [{ ok: true }] });
    expect(await counts()).toMatchObject({ visible: 0, inFlight: 0 });
  });

  test("a part of a receipt can be acknowledged, and what is not held any more is named", async () => {
    await send(4);
    const [receipt] = await receipts({ maxMessages: 4, visibilityTimeout: 600 });
    const token = receipt?.receipt ?? "";
    expect(await acknowledge([{ receipt: token, bits: "6" }])).toEqual({ results: [{ ok: true }] });
    expect(await acknowledge([{ receipt: token, bits: "7" }])).toEqual({
      results: [{ error: expect.objectContaining({ code: "receipt_handle_expired" }), bits: "6" }],
    });
    expect(await counts()).toMatchObject({ visible: 0, inFlight: 1 });
  });

  test("the handle of a message is its receipt with the character of its bit", async () => {
    await send(2);
    const [receipt] = await receipts({ maxMessages: 2 });
    const receiptHandles = ["A", "B"].map((bit) => `${receipt?.receipt}${bit}`);
    const answer = await api.ok(`POST /v1/queues/${queue}/ack`, { body: { receiptHandles } });
    expect(answer).toEqual({ results: [{ ok: true }, { ok: true }] });
  });

  test.each([
    ["neither handles nor receipts", {}, "invalid_request"],
    ["both", { receiptHandles: ["h"], receipts: [{ receipt: "r", bits: "1" }] }, "invalid_request"],
    [
      "bits that are no hexadecimal number",
      { receipts: [{ receipt: "r", bits: "x" }] },
      "invalid_request",
    ],
    ["a 64th bit", { receipts: [{ receipt: "r", bits: "8000000000000000" }] }, "invalid_request"],
    [
      "a receipt nobody issued",
      { receipts: [{ receipt: "r", bits: "1" }] },
      "receipt_handle_invalid",
    ],
  ])("an acknowledge with %s is refused", async (_, body, code) => {
    const answer = await api.call(`POST /v1/queues/${queue}/ack`, { body });
    expect(answer.body).toMatchObject({ error: { code } });
    expect(answer.status).toBe(400);
  });
});

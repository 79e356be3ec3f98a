import { createApi, healthEndpoints } from "@sluice/http-api";
import { createLogger, createMetrics } from "@sluice/runtime";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bury, newPair } from "./dead-letters.ts";

const broker = await Broker.start({ dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

const api = createApi({
  engine: broker.engine,
  account: ACCOUNT,
  logger: createLogger({ name: "test-api", level: "silent" }),
  health: healthEndpoints({ checks: {}, metrics: createMetrics(), isStopping: () => false }),
});

interface Answer {
  status: number;
  body: Record<string, unknown> | undefined;
}

async function call(method: string, path: string, body?: unknown): Promise<Answer> {
  const json = body !== undefined && {
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await api.request(path, { method, ...json });
  const text = await response.text();
  const answered = text === "" ? undefined : (JSON.parse(text) as Record<string, unknown>);
  return { status: response.status, body: answered };
}

function refusal(status: number, code: string, path?: string) {
  return { status, body: { error: { code, ...(path !== undefined && { details: [{ path }] }) } } };
}

const NO_ID = "01900000-0000-7000-8000-000000000000";

describe("redrive and redriveAllow of a queue", () => {
  test("are shown as they were set, also in lists", async () => {
    const deadLetterQueue = await broker.newQueue();
    const settings = {
      redrive: { deadLetterQueue, maxReceiveCount: 3 },
      redriveAllow: { permission: "byQueue", queues: ["a", "b"] },
    };
    const created = await call("POST", "/v1/queues", { name: "policies", ...settings });
    expect(created).toMatchObject({ status: 201, body: { ...settings, paused: false } });
    expect(await call("POST", "/v1/queues", { name: "policies", ...settings })).toMatchObject({
      status: 200,
    });
    expect(await call("GET", "/v1/queues?prefix=policies")).toMatchObject({
      body: { queues: [{ name: "policies", ...settings }] },
    });
    expect(await call("PATCH", "/v1/queues/policies", { redrive: null })).toMatchObject({
      status: 200,
      body: { redrive: null },
    });
  });

  test.each([
    ["redrive", { redrive: "dead" }],
    ["redrive.more", { redrive: { deadLetterQueue: "d", maxReceiveCount: 1, more: 1 } }],
    ["redrive.deadLetterQueue", { redrive: { deadLetterQueue: "a b", maxReceiveCount: 1 } }],
    ["redrive.maxReceiveCount", { redrive: { deadLetterQueue: "d" } }],
    ["redrive.maxReceiveCount", { redrive: { deadLetterQueue: "d", maxReceiveCount: 0 } }],
    ["redrive.maxReceiveCount", { redrive: { deadLetterQueue: "d", maxReceiveCount: 1_001 } }],
    ["redrive.maxReceiveCount", { redrive: { deadLetterQueue: "d", maxReceiveCount: 1.5 } }],
    ["redrive.deadLetterQueue", { redrive: { deadLetterQueue: "nowhere", maxReceiveCount: 1 } }],
    ["redriveAllow.permission", { redriveAllow: { permission: "some" } }],
    ["redriveAllow.queues", { redriveAllow: { permission: "denyAll", queues: ["q"] } }],
    ["redriveAllow.queues", { redriveAllow: { permission: "byQueue", queues: [] } }],
    ["paused", { paused: "yes" }],
    ["paused", { paused: null }],
  ])("are refused with the place of the mistake: %s of %j", async (path, settings) => {
    const name = "refused";
    const refused = refusal(400, "invalid_request", path);
    expect(await call("POST", "/v1/queues", { name, ...settings })).toMatchObject(refused);
    const queue = await broker.newQueue();
    expect(await call("PATCH", `/v1/queues/${queue}`, settings)).toMatchObject(refused);
    expect(await broker.engine.queues.find(ACCOUNT, name)).toBeUndefined();
  });
});

describe("a redrive", () => {
  test("is started, shown, listed and cancelled", async () => {
    const pair = await newPair(broker);
    await bury(client, pair, ["m"]);
    const path = `/v1/queues/${pair.deadLetters}/redrive`;
    const started = await call("POST", path, { rate: 5, destination: pair.queue });
    const task = {
      id: expect.any(String),
      queue: pair.deadLetters,
      destination: pair.queue,
      rate: 5,
      status: "running",
      moved: 0,
      total: 1,
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
    };
    expect(started).toEqual({ status: 201, body: task });
    expect(await call("POST", path, {})).toMatchObject(refusal(409, "redrive_running"));
    const one = `${path}/${started.body!["id"] as string}`;
    expect(await call("GET", one)).toEqual({ status: 200, body: started.body });
    expect(await call("GET", path)).toEqual({ status: 200, body: { redrives: [started.body] } });
    expect(await call("DELETE", one)).toMatchObject({ status: 200, body: { status: "cancelled" } });
    expect(await call("DELETE", one)).toMatchObject(refusal(404, "redrive_not_found"));
  });

  test.each([
    ["rate", { rate: 0 }],
    ["rate", { rate: -1 }],
    ["rate", { rate: 1.5 }],
    ["rate", { rate: "10" }],
    ["rate", { rate: null }],
    ["destination", { destination: "a b" }],
    ["destination", { destination: 7 }],
    ["speed", { speed: 1 }],
    ["body", []],
  ])("is refused with the place of the mistake: %s of %j", async (path, body) => {
    const queue = await broker.newQueue();
    expect(await call("POST", `/v1/queues/${queue}/redrive`, body)).toMatchObject(
      refusal(400, "invalid_request", path),
    );
    expect(await call("GET", `/v1/queues/${queue}/redrive`)).toMatchObject({
      body: { redrives: [] },
    });
  });

  test("of what is not there is not found", async () => {
    const queue = await broker.newQueue();
    const path = `/v1/queues/${queue}/redrive`;
    const notFound = refusal(404, "queue_not_found");
    expect(await call("POST", "/v1/queues/nowhere/redrive", {})).toMatchObject(notFound);
    expect(await call("POST", path, { destination: "nowhere" })).toMatchObject(notFound);
    expect(await call("GET", "/v1/queues/nowhere/redrive")).toMatchObject(notFound);
    expect(await call("GET", `${path}/${NO_ID}`)).toMatchObject(refusal(404, "redrive_not_found"));
    expect(await call("GET", `${path}/1`)).toMatchObject(refusal(400, "invalid_request", "id"));
    expect(await call("PATCH", `${path}/${NO_ID}`, {})).toMatchObject(
      refusal(405, "method_not_allowed"),
    );
    expect(await call("POST", path, { destination: queue })).toMatchObject(
      refusal(400, "invalid_request", "destination"),
    );
  });
});

describe("peek", () => {
  test("answers messages and a cursor", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["a", "b"]);
    const first = await call("GET", `/v1/queues/${queue}/peek?limit=1&order=newest`);
    expect(first).toEqual({
      status: 200,
      body: {
        messages: [
          {
            messageId: expect.any(String),
            body: "b",
            attributes: {},
            state: "visible",
            receiveCount: 0,
            sentAt: expect.stringMatching(/Z$/),
            visibleAt: expect.stringMatching(/Z$/),
          },
        ],
        nextCursor: expect.any(String),
      },
    });
    const cursor = first.body!["nextCursor"] as string;
    const next = `/v1/queues/${queue}/peek?limit=1&order=newest&cursor=${cursor}`;
    expect(await call("GET", next)).toMatchObject({ body: { messages: [{ body: "a" }] } });
  });

  test.each([
    "limit=0",
    "limit=101",
    "limit=x",
    "order=random",
    "state=gone",
    "search=",
    "cursor=bad",
    `cursor=${Buffer.from("1:1:x:0").toString("base64url")}`,
  ])("is refused with the place of the mistake: %s", async (query) => {
    const queue = await broker.newQueue();
    expect(await call("GET", `/v1/queues/${queue}/peek?${query}`)).toMatchObject(
      refusal(400, "invalid_request", `query.${query.split("=")[0]}`),
    );
  });

  test("takes no other parameters, and no queue that is not there", async () => {
    const queue = await broker.newQueue();
    expect(await call("GET", `/v1/queues/${queue}/peek?max=1`)).toMatchObject(
      refusal(400, "invalid_request", "query.max"),
    );
    expect(await call("GET", "/v1/queues/nowhere/peek")).toMatchObject(
      refusal(404, "queue_not_found"),
    );
  });
});

test("a purge tells how many messages it deleted", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, ["a", "b"]);
  const path = `/v1/queues/${queue}/purge`;
  expect(await call("POST", path)).toEqual({ status: 200, body: { purged: 2 } });
  expect(await call("GET", path)).toMatchObject(refusal(405, "method_not_allowed"));
  expect(await call("POST", "/v1/queues/nowhere/purge")).toMatchObject(
    refusal(404, "queue_not_found"),
  );
});

test("a delayed message is cancelled once", async () => {
  const queue = await broker.newQueue({ delay: 60 });
  const [id] = await client.send(queue, ["m"]);
  const path = `/v1/queues/${queue}/messages`;
  expect(await call("DELETE", `${path}/${id}`)).toEqual({ status: 204, body: undefined });
  expect(await call("DELETE", `${path}/${id}`)).toMatchObject(refusal(404, "message_not_found"));
  expect(await call("DELETE", `${path}/m`)).toMatchObject(
    refusal(400, "invalid_request", "messageId"),
  );
  expect(await call("DELETE", `/v1/queues/nowhere/messages/${id}`)).toMatchObject(
    refusal(404, "queue_not_found"),
  );
});

test("resuming over HTTP lets a long poll go on", async () => {
  const queue = await broker.newQueue();
  await call("PATCH", `/v1/queues/${queue}`, { paused: true });
  await client.send(queue, ["m"]);
  expect(await call("POST", `/v1/queues/${queue}/receive`, {})).toMatchObject({
    body: { messages: [] },
  });
  const waiting = call("POST", `/v1/queues/${queue}/receive`, { wait: 20 });
  await call("PATCH", `/v1/queues/${queue}`, { paused: false });
  expect(await waiting).toMatchObject({ body: { messages: [{ body: "m" }] } });
});

test("a query that Postgres refuses is logged without what it was called with", async () => {
  const lines: string[] = [];
  const logger = createLogger({ name: "test", stream: { write: (line) => void lines.push(line) } });
  const list = broker.engine.queues.list(ACCOUNT, { prefix: "a secret\u0000" });
  await list.catch((err: unknown) => {
    logger.error({ event: "request.failed", err });
  });
  expect(lines.join("")).toMatch(/Failed query: select .* like \$\d/);
  expect(lines.join("")).toContain("invalid byte sequence");
  expect(lines.join("")).not.toContain("secret");
});

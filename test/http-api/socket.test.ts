import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { serve } from "@sluice/http-api";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { ACCOUNT } from "../broker/broker.ts";
import { holdClaims, until, untilBlocked } from "../broker/interleaving.ts";
import { TestApi } from "./api.ts";
import { answerOf, close, good, headOf, json, MIB, receiveFrom, ServedApi } from "./served.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const api = await TestApi.start({ dispatchers: 0 });
const server = await ServedApi.start(api);
afterAll(async () => {
  await server.close(() => {
    api.broker.engine.receiver.close();
  });
  await api[Symbol.asyncDispose]();
});

let queue: string;
beforeEach(async () => {
  queue = await api.broker.newQueue();
});

// Whatever a client did, the process goes on to serve.
afterEach(async () => {
  const response = await fetch(`${server.url}/v1/queues/${queue}`);
  expect(response.status).toBe(200);
});

async function open(): Promise<Socket> {
  const socket = connect(server.port, "127.0.0.1");
  await once(socket, "connect");
  return socket;
}

async function answerTo(...parts: (string | Uint8Array)[]): Promise<string> {
  const socket = await open();
  const answer = answerOf(socket);
  for (const part of parts) socket.write(part);
  return await answer;
}

function head(lines: string[], path = `/v1/queues/${queue}/messages`): string {
  return headOf(path, lines);
}

/** What buffers have that somebody holds. */
function heldBytes(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

async function rests(): Promise<number> {
  const { visible, inFlight, delayed } = await api.broker.counts(queue);
  return visible + inFlight + delayed;
}

test("a request is answered", async () => {
  const answer = await answerTo(head([json, close, `Content-Length: ${good.length}`]), good);
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(await rests()).toBe(1);
});

describe("a body", () => {
  test("in chunks is put together", async () => {
    const chunks = [...good].map((byte) => `1;extension=value\r\n${byte}\r\n`);
    const answer = await answerTo(
      head([json, close, "Transfer-Encoding: chunked"]),
      ...chunks,
      "0\r\n\r\n",
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("is not kept while its receive waits", async () => {
    const received = vi.spyOn(api.broker.engine.receiver, "receive");
    const sockets = await Promise.all(Array.from({ length: 12 }, open));
    const body = Buffer.alloc(8 * MIB, " ");
    body.write(JSON.stringify({ wait: 20 }));
    const ask = head([json, `Content-Length: ${body.length}`], `/v1/queues/${queue}/receive`);
    const before = heldBytes();
    for (const socket of sockets) {
      socket.write(ask);
      socket.write(body);
    }
    await until(() => Promise.resolve(received.mock.calls.length === sockets.length));
    // What was collected is given back by another thread, a little later.
    await until(() => Promise.resolve(heldBytes() - before < 16 * MIB));
    // All of them wait, so it is not by their end that the bodies have gone.
    expect(received.mock.settledResults.map(({ type }) => type)).not.toContain("fulfilled");
    received.mockRestore();
    for (const socket of sockets) socket.destroy();
  });

  test("in chunks that never end is refused when it is too large", async () => {
    const socket = await open();
    const answer = answerOf(socket);
    socket.write(head([json, "Transfer-Encoding: chunked"]));
    const chunk = Buffer.concat([
      Buffer.from("100000\r\n"),
      Buffer.alloc(MIB, " "),
      Buffer.from("\r\n"),
    ]);
    const feed = () => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on("drain", feed);
    feed();
    expect(await answer).toMatch(/^HTTP\/1\.1 413 [^]*"request_too_large"/);
  });

  test("is refused while too much is on its way in others, unless it is small", async () => {
    const sockets: Socket[] = [];
    const part = Buffer.alloc(MIB, " ");
    const refused = new Promise<{ answer: string; socket: Socket }>((resolve) => {
      const begin = async () => {
        const socket = await open();
        sockets.push(socket);
        socket.on("error", () => undefined);
        socket.once("data", (chunk: Buffer) => resolve({ answer: String(chunk), socket }));
        socket.write(head([json, `Content-Length: ${16 * MIB}`]));
        for (let count = 0; count < 15; count += 1) socket.write(part);
      };
      for (let count = 0; count < 18; count += 1) void begin();
    });
    const { answer, socket } = await refused;
    expect(answer).toMatch(/^HTTP\/1\.1 429 [^]*Retry-After[^]*"too_many_requests"/i);
    const small = head([json, close, `Content-Length: ${good.length}`]);
    expect(await answerTo(small, good)).toMatch(/^HTTP\/1\.1 200 /);
    // Who sends all of it before it reads the answer is not left hanging, and goes on over the same connection.
    const next = answerOf(socket);
    socket.write(Buffer.concat([part, Buffer.from(small + good)]));
    expect(await next).toMatch(/^HTTP\/1\.1 200 /);
    for (const socket of sockets) socket.destroy();
    const large = head([json, close, `Content-Length: ${good.length + MIB}`]);
    await until(async () => (await answerTo(large, good, part)).startsWith("HTTP/1.1 200 "));
  });

  test("is not refused for small ones on their way, however many: a client could have all others' refused", async () => {
    const part = Buffer.alloc(64 * 1024 - 1, " ");
    const sockets: Socket[] = [];
    const began = head([json, `Content-Length: ${part.length + 1}`]);
    // 300 MiB.
    while (sockets.length < 4_800) {
      const opened = await Promise.all(Array.from({ length: 100 }, open));
      for (const socket of opened) {
        socket.on("error", () => undefined);
        socket.write(began);
        socket.write(part);
      }
      sockets.push(...opened);
    }
    const small = head([json, close, `Content-Length: ${good.length}`]);
    expect(await answerTo(small, good)).toMatch(/^HTTP\/1\.1 200 /);
    const large = head([json, close, `Content-Length: ${good.length + MIB}`]);
    expect(await answerTo(large, good, Buffer.alloc(MIB, " "))).toMatch(/^HTTP\/1\.1 200 /);
    expect(sockets.filter(({ closed }) => closed)).toEqual([]);
    for (const socket of sockets) socket.destroy();
  }, 120_000);

  test("that says that it is too large is refused unread", async () => {
    const answer = await answerTo(head([json, `Content-Length: ${16 * MIB + 1}`]), "x");
    expect(answer).toMatch(/^HTTP\/1\.1 413 [^]*"request_too_large"/);
  });

  test("that is longer than it says is cut there, and the rest is no request", async () => {
    const answer = await answerTo(head([json, `Content-Length: ${good.length - 2}`]), good);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).not.toContain(" 200 ");
    expect(await rests()).toBe(0);
  });

  test("that ends before it says changes nothing", async () => {
    const socket = await open();
    const answer = answerOf(socket);
    socket.write(head([json, `Content-Length: ${good.length + 10}`]));
    socket.write(good);
    socket.end();
    await answer;
    expect(await rests()).toBe(0);
  });

  test.each([
    ["two lengths", ["Content-Length: 5", "Content-Length: 6"]],
    ["a length and chunks", ["Content-Length: 5", "Transfer-Encoding: chunked"]],
    ["a negative length", ["Content-Length: -1"]],
    ["a length that is no number", ["Content-Length: 1e3"]],
    ["a length beyond all numbers", ["Content-Length: 99999999999999999999"]],
    ["an encoding that is not chunked", ["Transfer-Encoding: gzip"]],
    ["a header with NUL", ["X-Test: a\0b"]],
    ["a header with a bare line break", ["X-Test: a\nb: c\nTransfer-Encoding : x"]],
    ["a header name with a blank", ["X Test: a"]],
  ])("with %s is refused", async (_, lines) => {
    expect(await answerTo(head([json, close, ...lines]), good)).toMatch(/^HTTP\/1\.1 400 /);
    expect(await rests()).toBe(0);
  });

  test.each([
    ["a size that is no number", "xyz\r\n"],
    ["a negative size", "-5\r\n"],
    ["a size beyond all numbers", `${"f".repeat(40)}\r\n`],
    ["an end where there is none", "5\r\nabcdefgh\r\n"],
  ])("in chunks with %s is refused", async (_, chunk) => {
    const answer = await answerTo(head([json, "Transfer-Encoding: chunked"]), chunk);
    expect(answer === "" || answer.startsWith("HTTP/1.1 400 ")).toBe(true);
    expect(await rests()).toBe(0);
  });

  test("is asked for when the client waits to be", async () => {
    const socket = await open();
    const answer = answerOf(socket);
    socket.write(head([json, close, "Expect: 100-continue", `Content-Length: ${good.length}`]));
    const [first] = (await once(socket, "data")) as [Buffer];
    expect(String(first)).toMatch(/^HTTP\/1\.1 100 /);
    socket.write(good);
    expect(await answer).toMatch(/HTTP\/1\.1 200 /);
  });
});

describe("a request", () => {
  test.each([
    ["words", "hello\r\n\r\n"],
    ["TLS", Buffer.from("160301020001000001fc0303", "hex")],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["no host", "GET /healthz HTTP/1.1\r\n\r\n"],
    ["a host that is none", "GET /healthz HTTP/1.1\r\nHost: a b/c?\r\nConnection: close\r\n\r\n"],
    ["a method nobody knows", "BREW /healthz HTTP/1.1\r\nHost: a\r\n\r\n"],
  ])("of %s is refused", async (_, text) => {
    expect(await answerTo(text)).toMatch(/^(HTTP\/1\.1 [45]\d\d |$)/);
  });

  test("with headers that are too large is refused", async () => {
    const answer = await answerTo(head([`X-Large: ${"x".repeat(20_000)}`]));
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  });

  test.each([
    "/v1/topics/%00",
    "/v1/topics/%",
    "/v1/topics/%ff%fe",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/docs/..%2f..%2fpackage.json",
    "//evil.example/v1/topics",
    "/v1/topics?limit=%",
    "/v1/topics?prefix=%ff",
    "/v1/topics?limit[]=1&limit[__proto__]=2",
    "/\\v1\\topics",
    "/v1/topics;jsessionid=1",
    "http://[bad/v1/topics",
    "*",
  ])("for %s is refused", async (path) => {
    const answer = await answerTo(`GET ${path} HTTP/1.1\r\nHost: test\r\n${close}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
  });

  test("with a header named __proto__ is served", async () => {
    const lines = [json, close, "__proto__: x", "constructor: y", `Content-Length: ${good.length}`];
    expect(await answerTo(head(lines), good)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("after another one on the same connection is answered after it", async () => {
    const one = head([json, `Content-Length: ${good.length}`]) + good;
    const bad = head([json, "Content-Length: 1"]) + "x";
    const last = head([json, close, `Content-Length: ${good.length}`]) + good;
    const answer = await answerTo(one + bad + last);
    const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
    expect(statuses).toEqual(["200", "400", "200"]);
    expect(await rests()).toBe(2);
  });

  test.each([
    ["comes with it", false],
    ["comes when it is answered", true],
  ])("whose body nobody reads leaves its connection usable, where that %s", async (_, isLate) => {
    using hurry = withoutHurry();
    const socket = await open();
    const answer = answerOf(socket);
    const body = " ".repeat(200_000);
    socket.write(head([json, `Content-Length: ${body.length}`], "/v1/nowhere"));
    if (isLate) await until(() => Promise.resolve(hurry.isHeld()));
    socket.write(body);
    socket.write(head([json, close, `Content-Length: ${good.length}`]) + good);
    expect(await answer).toMatch(/^HTTP\/1\.1 404 [^]*HTTP\/1\.1 200 /);
    // However much later the second one had come, nobody would have closed it.
    expect(hurry.isHeld()).toBe(false);
  });

  test("that failed leaves its connection usable", async () => {
    const refused = head([json, "Content-Encoding: gzip", `Content-Length: ${good.length}`]) + good;
    const served = head([json, close, `Content-Length: ${good.length}`]) + good;
    const answer = await answerTo(refused + served);
    expect(answer).toMatch(/^HTTP\/1\.1 415 [^]*HTTP\/1\.1 200 /);
  });
});

/**
 * Hono closes a connection half a second after the answer where the rest of the body has not come. Here it never does:
 * after a standstill of this thread it would before it has read anything. Tells whether it is about to.
 */
function withoutHurry() {
  const held = new Set<unknown>();
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  const setting = vi.spyOn(globalThis, "setTimeout");
  setting.mockImplementation(((act: () => void, ms?: number, ...args: []) => {
    if (ms !== 500) return set(act, ms, ...args);
    const timer = set(act, 2 ** 30);
    held.add(timer);
    return timer;
  }) as typeof set);
  const clearing = vi.spyOn(globalThis, "clearTimeout").mockImplementation((timer) => {
    held.delete(timer);
    clear(timer);
  });
  return {
    isHeld: () => held.size > 0,
    [Symbol.dispose]() {
      setting.mockRestore();
      clearing.mockRestore();
      for (const timer of held) clear(timer as NodeJS.Timeout);
    },
  };
}

function receive(body: object, from = queue): string {
  return receiveFrom(from, body);
}

test("what a client receives behind another request on its connection is its own", async () => {
  const first = await api.broker.newQueue();
  await api.broker.client().send(queue, ["m"]);
  const socket = await open();
  const chunks: string[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk.toString("latin1")));
  socket.write(receive({ wait: 1 }, first) + receive({ visibilityTimeout: 600 }));
  await until(() => Promise.resolve(chunks.join("").includes('"body":"m"')));
  // What is given back is given back in this moment.
  await setTimeout(200);
  expect(await api.broker.counts(queue)).toMatchObject({ visible: 0, inFlight: 1 });
  socket.destroy();
});

test("who sends requests without end and without an answer is cut off", async () => {
  const socket = await open();
  const ended = answerOf(socket);
  socket.write(receive({ wait: 20 }).repeat(1_100));
  await ended;
  await until(() => Promise.resolve(!api.broker.engine.receiver.isWaitedFor(ACCOUNT, queue)));
});

describe("a client that hangs up", () => {
  test("while it waits takes no message", async () => {
    const socket = await open();
    const ended = answerOf(socket);
    socket.write(receive({ wait: 20 }));
    const waiting = () => api.broker.engine.receiver.isWaitedFor("000000000000", queue);
    await until(() => Promise.resolve(waiting()));
    socket.destroy();
    await ended;
    await until(() => Promise.resolve(!waiting()));
    await api.broker.client().send(queue, ["m"]);
    expect(await api.broker.client().receive(queue)).toMatchObject([{ receiveCount: 1 }]);
  });

  test("while messages are claimed for it gives them back at once", async () => {
    await api.broker.client().send(queue, ["a", "b"]);
    const claims = await holdClaims(api.broker.sql);
    const socket = await open();
    const ended = answerOf(socket);
    socket.write(receive({ maxMessages: 10 }));
    await untilBlocked(api.broker.sql);
    socket.destroy();
    await ended;
    const { released } = api.broker.counted;
    await claims.letGo();
    // Not what is visible: until they are claimed they are as well.
    await until(() => Promise.resolve(api.broker.counted.released === released + 2));
    expect(await api.broker.client().receive(queue, { maxMessages: 2 })).toHaveLength(2);
  });

  test("while it waits behind another one on its connection takes no message", async () => {
    const first = await api.broker.newQueue();
    const socket = await open();
    const ended = answerOf(socket);
    socket.write(receive({ wait: 20 }, first) + receive({ wait: 20 }));
    const waiting = () =>
      [first, queue].filter((name) => api.broker.engine.receiver.isWaitedFor(ACCOUNT, name)).length;
    await until(() => Promise.resolve(waiting() === 2));
    socket.destroy();
    await ended;
    await until(() => Promise.resolve(waiting() === 0));
    await api.broker.client().send(queue, ["m"]);
    expect(await api.broker.client().receive(queue)).toMatchObject([{ receiveCount: 1 }]);
  });

  test("while its answer is on its way gives the messages back", async () => {
    const bodies = Array.from({ length: 40 }, () => "x".repeat(MIB));
    for (const body of bodies) await api.broker.client().send(queue, [body]);
    const socket = await open();
    const ended = answerOf(socket);
    socket.write(receive({ maxMessages: 40, visibilityTimeout: 43_200 }));
    // It reads the beginning and nothing more.
    await once(socket, "data");
    socket.pause();
    socket.destroy();
    await ended;
    await until(async () => (await api.broker.counts(queue)).visible === 40);
  });

  test("while it sends leaves nothing behind, and is no failure of ours", async () => {
    const socket = await open();
    const ended = answerOf(socket);
    socket.write(head([json, "Content-Length: 1000"]));
    socket.write('{"messages":[');
    socket.destroy();
    await ended;
    expect(await rests()).toBe(0);
  });
});

test("one connection more than are allowed is closed, and served as soon as another has gone", async () => {
  await using full = await ServedApi.start(api, { maxConnections: 2 });
  const [first, second] = await Promise.all([full.connect(), full.connect()]);
  for (const socket of [first, second]) expect(await full.asks(socket)).toMatch(/^HTTP\/1\.1 200 /);
  expect(await full.asks(await full.connect())).toBe("");
  first.destroy();
  await until(async () => (await full.asks(await full.connect())) !== "");
  expect(await full.asks(second)).toMatch(/^HTTP\/1\.1 200 /);
});

test("a port that is taken is an error", async () => {
  await expect(
    serve({ fetch: api.app.fetch, host: "127.0.0.1", port: server.port }),
  ).rejects.toMatchObject({
    code: "EADDRINUSE",
  });
});

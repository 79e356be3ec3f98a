import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";

import { serve, type ServeOptions } from "@sluice/http-api";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { ACCOUNT } from "../broker/broker.ts";
import { holdClaims, until, untilBlocked } from "../broker/interleaving.ts";
import { TestApi } from "./api.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const MIB = 1024 * 1024;

const api = await TestApi.start({ dispatchers: 0 });
const server = await serve({
  fetch: api.app.fetch,
  direct: api.app.direct,
  host: "127.0.0.1",
  port: 0,
});
const port = Number(new URL(server.url).port);
afterAll(async () => {
  await server.close(() => {
    api.broker.engine.receiver.close();
  });
  await api[Symbol.asyncDispose]();
});

let names = 0;
let queue: string;
beforeEach(async () => {
  names += 1;
  queue = `queue-${names}`;
  await api.ok("POST /v1/queues", { body: { name: queue } });
});

// Whatever a client did, the process goes on to serve.
afterEach(async () => {
  const response = await fetch(`${server.url}/v1/queues/${queue}`);
  expect(response.status).toBe(200);
});

async function anotherQueue(): Promise<string> {
  const name = `${queue}-before`;
  await api.ok("POST /v1/queues", { body: { name } });
  return name;
}

async function open(): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  return socket;
}

/** What the server says until it closes the connection. A reset while we still write is no answer, but no failure. */
async function answerOf(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(chunks).toString("latin1");
}

async function answerTo(...parts: (string | Uint8Array)[]): Promise<string> {
  const socket = await open();
  const answer = answerOf(socket);
  for (const part of parts) socket.write(part);
  return await answer;
}

function head(lines: string[], path = `/v1/queues/${queue}/messages`): string {
  return `${[`POST ${path} HTTP/1.1`, "Host: test", ...lines].join("\r\n")}\r\n\r\n`;
}

const json = "Content-Type: application/json";
const close = "Connection: close";
const good = '{"messages":[{"body":"m"}]}';

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
  const text = JSON.stringify(body);
  return head([json, `Content-Length: ${text.length}`], `/v1/queues/${from}/receive`) + text;
}

test("what a client receives behind another request on its connection is its own", async () => {
  const first = await anotherQueue();
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
    const first = await anotherQueue();
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

describe("a client that does not read", () => {
  test("its answer is cut off, and has what it received given back", async () => {
    await using impatient = await another({ stalledAfterMs: 600 });
    for (let count = 0; count < 12; count += 1)
      await api.broker.client().send(queue, ["x".repeat(MIB)]);
    const idle = await impatient.connect();
    expect(await impatient.asks(idle)).toMatch(/^HTTP\/1\.1 200 /);
    const socket = await impatient.connect();
    socket.pause();
    const { received } = api.broker.counted;
    socket.write(receive({ maxMessages: 12, visibilityTimeout: 43_200 }));
    // Not what is in flight: for how long it is, Postgres may take to count it.
    await until(() => Promise.resolve(api.broker.counted.received === received + 12));
    await until(async () => (await api.broker.counts(queue)).visible === 12);
    // Who reads what comes, if slowly, or waits for an answer or with the next request, is not.
    const waiting = await impatient.connect();
    waiting.write(receive({ wait: 2 }, await anotherQueue()));
    let slow = { length: 0, longestPause: 0 };
    do {
      const reading = await impatient.connect();
      reading.write(receive({ maxMessages: 12, visibilityTimeout: 0 }));
      slow = await readSlowly(reading, 12 * MIB);
      // Where this thread stood still, nothing was taken for too long indeed.
    } while (slow.length < 12 * MIB && slow.longestPause > 250);
    expect(slow.length).toBeGreaterThanOrEqual(12 * MIB);
    expect(await impatient.asks(idle)).toMatch(/^HTTP\/1\.1 200 /);
  });

  /** Ten MiB a second, until there is as much or no more comes. */
  async function readSlowly(socket: Socket, enough: number) {
    let [length, longestPause, readAt] = [0, 0, performance.now()];
    while (length < enough && !socket.closed) {
      const chunk = socket.read(MIB / 2) as Buffer | null;
      length += (chunk ?? (socket.read() as Buffer | null) ?? "").length;
      await setTimeout(50);
      longestPause = Math.max(longestPause, performance.now() - readAt);
      readAt = performance.now();
    }
    return { length, longestPause };
  }

  test("is cut off where too much is unread, although it takes a little of its answer now and then", async () => {
    await using full = await another({ stalledAfterMs: 9_000, maxUnread: 24 * MIB });
    for (let count = 0; count < 15; count += 1)
      await api.broker.client().send(queue, ["x".repeat(MIB - 1_024)]);
    const slow: Socket[] = [];
    const ended: Socket[] = [];
    for (let count = 0; count < 6; count += 1) {
      const socket = await full.connect();
      slow.push(socket.pause());
      socket.once("close", () => ended.push(socket));
      socket.write(receive({ maxMessages: 15, visibilityTimeout: 0 }));
      await once(socket, "readable");
    }
    // Which it is when it has read, as slowly, what was on its way to it.
    const [first, last] = [slow[0]!, slow[5]!];
    while (!first.closed) {
      for (const socket of slow) socket.read(200_000);
      await setTimeout(200);
    }
    expect(ended).toContain(first);
    // Cut off with it, the last one would get no more than it did.
    while (!last.closed && last.bytesRead < first.bytesRead + 2 * MIB) {
      last.read(200_000);
      await setTimeout(10);
    }
    expect(ended).not.toContain(last);
    expect(await full.asks(await full.connect())).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("is cut off where too much is unread behind an answer that has not begun", async () => {
    await using full = await another({ stalledAfterMs: 6_000, maxUnread: 24 * MIB });
    const first = await anotherQueue();
    for (let count = 0; count < 12; count += 1)
      await api.broker.client().send(queue, ["x".repeat(MIB)]);
    const socket = await full.connect();
    const began = performance.now();
    const ended = once(socket.resume(), "close");
    const large = receive({ maxMessages: 12, visibilityTimeout: 0 });
    socket.write(receive({ wait: 20 }, first) + large.repeat(4));
    await ended;
    // By itself the first one is answered after twenty.
    expect(performance.now() - began).toBeLessThan(18_000);
  });

  test("leaves room in memory for the answers of others, who get less at a time", async () => {
    // So patient that none of them is cut off before there are enough.
    await using patient = await another({ stalledAfterMs: 120_000 });
    for (let count = 0; count < 16; count += 1)
      await api.broker.client().send(queue, ["x".repeat(MIB - 1_024)]);
    const take = async () => {
      const response = await fetch(`${server.url}/v1/queues/${queue}/receive`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ maxMessages: 16, visibilityTimeout: 0 }),
      });
      return ((await response.json()) as { messages: unknown[] }).messages.length;
    };
    expect(await take()).toBeGreaterThan(12);
    const sockets: Socket[] = [];
    await until(async () => {
      const socket = await patient.connect();
      sockets.push(socket);
      socket.write(receive({ maxMessages: 16, visibilityTimeout: 0 }));
      // Of its answer no more than a first piece is read, and nobody else asks meanwhile.
      await once(socket, "readable");
      return (await take()) === 1;
    });
    expect(sockets.length).toBeLessThan(40);
    for (const socket of sockets) socket.destroy();
    await until(async () => (await take()) > 12);
  });
});

test("a server that closes answers who waits and whom it accepted, and takes nobody new", async () => {
  const closing = await serve({
    fetch: api.app.fetch,
    direct: api.app.direct,
    host: "127.0.0.1",
    port: 0,
  });
  const call = (path: string, body: object) =>
    fetch(`${closing.url}/v1/queues/${queue}/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const waiting = call("receive", { wait: 20 });
  const waitedFor = () => api.broker.engine.receiver.isWaitedFor("000000000000", queue);
  await until(() => Promise.resolve(waitedFor()));
  const claims = await holdClaims(api.broker.sql);
  const accepted = call("receive", { maxMessages: 2 });
  await untilBlocked(api.broker.sql);
  const closed = closing.close(() => {
    api.broker.engine.bus.signalQueues([]);
  });
  await claims.letGo();
  const answer = await accepted;
  expect(await answer.json()).toEqual({ messages: [] });
  await expect(call("receive", {})).rejects.toThrow("fetch failed");
  await api.broker.client().send(queue, ["m"]);
  expect(await (await waiting).json()).toMatchObject({ messages: [{ body: "m" }] });
  await closed;
});

test("a server that closes answers all requests that came behind each other on a connection", async () => {
  await using closing = await another({});
  const socket = await closing.connect();
  const answer = answerOf(socket);
  const claims = await holdClaims(api.broker.sql);
  socket.write(receive({}) + head([json, `Content-Length: ${good.length}`]) + good);
  await untilBlocked(api.broker.sql);
  const closed = closing.close();
  await claims.letGo();
  expect(await answer).toMatch(/^HTTP\/1\.1 200 [^]*HTTP\/1\.1 200 [^]*connection: close/i);
  await closed;
});

test("a server that closes sends answers to their end, and waits ten seconds for who does not read", async () => {
  await using closing = await another({ stalledAfterMs: 300_000 });
  for (let count = 0; count < 12; count += 1)
    await api.broker.client().send(queue, ["x".repeat(MIB)]);
  const [slow, deaf] = await Promise.all([closing.connect(), closing.connect()]);
  for (const socket of [slow, deaf]) {
    socket.write(receive({ maxMessages: 12, visibilityTimeout: 0 }));
    await once(socket, "readable");
  }
  slow.write(head([json, `Content-Length: ${good.length}`]) + good);
  await until(async () => (await rests()) === 13);
  const began = performance.now();
  const closed = closing.close();
  // It looks twenty times a second for connections that nobody uses.
  await setTimeout(500);
  const answer = await answerOf(slow);
  expect(answer.length).toBeGreaterThan(12 * MIB);
  expect(answer.slice(-500)).toMatch(/}HTTP\/1\.1 200 [^]*messageId/);
  await closed;
  // By itself it would be cut off after five minutes.
  expect(performance.now() - began).toBeLessThan(50_000);
});

test("a server that closes gives requests that have begun ten seconds to come whole, and ends those that do not", async () => {
  await using closing = await another({});
  const begin = async (part: string) => {
    const socket = await closing.connect();
    expect(await closing.asks(socket)).toMatch(/^HTTP\/1\.1 200 /);
    socket.write(part);
    return { socket, answer: answerOf(socket) };
  };
  const slow = await begin(head([json, `Content-Length: ${good.length}`]) + good.slice(0, 1));
  await setTimeout(7_000);
  const body = await begin(head([json, "Content-Length: 9"]) + "{");
  const headers = await begin("POST / HTTP/1.1\r\nHost:");
  // The server has read them.
  expect(await closing.asks(await closing.connect())).toMatch(/^HTTP\/1\.1 200 /);
  const began = performance.now();
  const closed = closing.close();
  // Twelve and a half since it began, and far from the end of the ten.
  await setTimeout(5_500);
  slow.socket.write(good.slice(1));
  expect(await slow.answer).toMatch(/^HTTP\/1\.1 200 [^]*connection: close/i);
  await closed;
  expect(performance.now() - began).toBeGreaterThan(8_000);
  // No answer that says whose fault it is: clients ask another server then.
  expect(await Promise.all([body.answer, headers.answer])).toEqual(["", ""]);
});

test("one connection more than are allowed is closed, and served as soon as another has gone", async () => {
  await using full = await another({ maxConnections: 2 });
  const [first, second] = await Promise.all([full.connect(), full.connect()]);
  for (const socket of [first, second]) expect(await full.asks(socket)).toMatch(/^HTTP\/1\.1 200 /);
  expect(await full.asks(await full.connect())).toBe("");
  first.destroy();
  await until(async () => (await full.asks(await full.connect())) !== "");
  expect(await full.asks(second)).toMatch(/^HTTP\/1\.1 200 /);
});

/** On a thread of its own, since that of the server stands still: tells what each connection got by its end. */
const clientOfFrozen = `
  const { connect } = require("node:net");
  const { once } = require("node:events");
  const { parentPort, workerData: { port, head, body, signals } } = require("node:worker_threads");
  const open = async () => {
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    socket.on("data", (chunk) => (answer += chunk)).on("error", () => undefined);
    socket.answered = new Promise((resolve) => socket.once("close", () => resolve(answer)));
    await once(socket, "connect");
    return socket;
  };
  (async () => {
    const sockets = [await open(), await open()];
    sockets[0].write(head);
    parentPort.postMessage("ready");
    // Where a standstill before this one has closed them, nothing else would keep this thread.
    const awake = setInterval(() => undefined, 1_000);
    await Atomics.waitAsync(signals, 0, 0).value;
    clearInterval(awake);
    const written = [];
    const write = (socket, text) => written.push(new Promise((resolve) => socket.write(text, resolve)));
    write(sockets[0], body);
    write(sockets[1], head + body);
    sockets.push(await open());
    write(sockets[2], head + body);
    await Promise.all(written);
    Atomics.store(signals, 1, 1);
    Atomics.notify(signals, 1);
    parentPort.postMessage(await Promise.all(sockets.map(({ answered }) => answered)));
  })();
`;

test("a process that stood still drops what came meanwhile, also over connections that it comes to late", async () => {
  const told: number[] = [];
  const onStandstill = (ms: number) => void told.push(ms);
  await using frozen = await another({ stoodStillAfterMs: 3_000, onStandstill });
  const signals = new Int32Array(new SharedArrayBuffer(8));
  const workerData = {
    port: frozen.port,
    head: head([json, close, `Content-Length: ${good.length}`]),
    body: good,
    signals,
  };
  const client = new Worker(clientOfFrozen, { eval: true, workerData });
  await once(client, "message");
  const answers = once(client, "message");
  // From here to the end of the block nothing else is done on this thread.
  told.length = 0;
  Atomics.store(signals, 0, 1);
  Atomics.notify(signals, 0);
  expect(Atomics.wait(signals, 1, 0, 10_000)).not.toBe("timed-out");
  block(3_500);
  // Before it accepts anybody it has a while of other work to do.
  await setTimeout(0);
  block(2_500);
  expect(await answers).toEqual([["", "", ""]]);
  expect(await rests()).toBe(0);
  await until(async () => (await frozen.asks(await frozen.connect())).startsWith("HTTP/1.1 200 "));
  expect(told[0]).toBeGreaterThanOrEqual(3_500);
});

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

async function another(
  limits: Pick<
    ServeOptions,
    "maxConnections" | "stalledAfterMs" | "stoodStillAfterMs" | "onStandstill" | "maxUnread"
  >,
) {
  const address = { host: "127.0.0.1", port: 0 };
  const anotherServer = await serve({
    fetch: api.app.fetch,
    direct: api.app.direct,
    ...address,
    ...limits,
  });
  const sockets: Socket[] = [];
  const portOfIt = Number(new URL(anotherServer.url).port);
  return {
    port: portOfIt,
    async connect(): Promise<Socket> {
      const socket = connect(portOfIt, "127.0.0.1");
      socket.on("error", () => undefined);
      sockets.push(socket);
      await once(socket, "connect");
      return socket;
    },
    /** The beginning of the answer; empty when there is none. */
    async asks(socket: Socket): Promise<string> {
      socket.write("GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n");
      return await new Promise((resolve) => {
        socket.once("data", (chunk: Buffer) => resolve(chunk.toString("latin1")));
        socket.once("close", () => resolve(""));
      });
    },
    close: () => anotherServer.close(),
    async [Symbol.asyncDispose](): Promise<void> {
      for (const socket of sockets) socket.destroy();
      await anotherServer.close();
    },
  };
}

test("a port that is taken is an error", async () => {
  await expect(
    serve({ fetch: api.app.fetch, direct: api.app.direct, host: "127.0.0.1", port }),
  ).rejects.toMatchObject({
    code: "EADDRINUSE",
  });
});

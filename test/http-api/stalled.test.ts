import { once } from "node:events";
import type { Socket } from "node:net";
import { setTimeout } from "node:timers/promises";

import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";

import { until } from "../broker/interleaving.ts";
import { TestApi } from "./api.ts";
import { MIB, receiveFrom, ServedApi } from "./served.ts";

const api = await TestApi.start({ dispatchers: 0 });
const server = await ServedApi.start(api);
afterAll(async () => {
  await server.close();
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

describe("a client that does not read", () => {
  test("its answer is cut off, and has what it received given back", async () => {
    await using impatient = await ServedApi.start(api, { stalledAfterMs: 600 });
    for (let count = 0; count < 12; count += 1)
      await api.broker.client().send(queue, ["x".repeat(MIB)]);
    const idle = await impatient.connect();
    expect(await impatient.asks(idle)).toMatch(/^HTTP\/1\.1 200 /);
    const socket = await impatient.connect();
    socket.pause();
    const { received } = api.broker.counted;
    socket.write(receiveFrom(queue, { maxMessages: 12, visibilityTimeout: 43_200 }));
    // Not what is in flight: for how long it is, Postgres may take to count it.
    await until(() => Promise.resolve(api.broker.counted.received === received + 12));
    await until(async () => (await api.broker.counts(queue)).visible === 12);
    // Who reads what comes, if slowly, or waits for an answer or with the next request, is not.
    const waiting = await impatient.connect();
    waiting.write(receiveFrom(await api.broker.newQueue(), { wait: 2 }));
    let slow = { length: 0, longestPause: 0 };
    do {
      const reading = await impatient.connect();
      reading.write(receiveFrom(queue, { maxMessages: 12, visibilityTimeout: 0 }));
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
    await using full = await ServedApi.start(api, { stalledAfterMs: 9_000, maxUnread: 24 * MIB });
    for (let count = 0; count < 15; count += 1)
      await api.broker.client().send(queue, ["x".repeat(MIB - 1_024)]);
    const slow: Socket[] = [];
    const ended: Socket[] = [];
    for (let count = 0; count < 6; count += 1) {
      const socket = await full.connect();
      slow.push(socket.pause());
      socket.once("close", () => ended.push(socket));
      socket.write(receiveFrom(queue, { maxMessages: 15, visibilityTimeout: 0 }));
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
    await using full = await ServedApi.start(api, { stalledAfterMs: 6_000, maxUnread: 24 * MIB });
    const first = await api.broker.newQueue();
    for (let count = 0; count < 12; count += 1)
      await api.broker.client().send(queue, ["x".repeat(MIB)]);
    const socket = await full.connect();
    const began = performance.now();
    const ended = once(socket.resume(), "close");
    const large = receiveFrom(queue, { maxMessages: 12, visibilityTimeout: 0 });
    socket.write(receiveFrom(first, { wait: 20 }) + large.repeat(4));
    await ended;
    // By itself the first one is answered after twenty.
    expect(performance.now() - began).toBeLessThan(18_000);
  });

  test("leaves room in memory for the answers of others, who get less at a time", async () => {
    // So patient that none of them is cut off before there are enough.
    await using patient = await ServedApi.start(api, { stalledAfterMs: 120_000 });
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
      socket.write(receiveFrom(queue, { maxMessages: 16, visibilityTimeout: 0 }));
      // Of its answer no more than a first piece is read, and nobody else asks meanwhile.
      await once(socket, "readable");
      return (await take()) === 1;
    });
    expect(sockets.length).toBeLessThan(40);
    for (const socket of sockets) socket.destroy();
    await until(async () => (await take()) > 12);
  });
});

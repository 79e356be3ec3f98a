import { once } from "node:events";
import { setTimeout } from "node:timers/promises";

import { afterAll, beforeEach, expect, test } from "vitest";

import { ACCOUNT } from "../broker/broker.ts";
import { holdClaims, until, untilBlocked } from "../broker/interleaving.ts";
import { TestApi } from "./api.ts";
import { answerOf, good, json, MIB, receiveFrom, sendHead, ServedApi } from "./served.ts";

const api = await TestApi.start({ dispatchers: 0 });
afterAll(() => api[Symbol.asyncDispose]());

let queue: string;
beforeEach(async () => {
  queue = await api.broker.newQueue();
});

test("a server that closes answers who waits and whom it accepted, and takes nobody new", async () => {
  await using closing = await ServedApi.start(api);
  const call = (path: string, body: object) =>
    fetch(`${closing.url}/v1/queues/${queue}/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const waiting = call("receive", { wait: 20 });
  const waitedFor = () => api.broker.engine.receiver.isWaitedFor(ACCOUNT, queue);
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
  await using closing = await ServedApi.start(api);
  const socket = await closing.connect();
  const answer = answerOf(socket);
  const claims = await holdClaims(api.broker.sql);
  socket.write(receiveFrom(queue, {}) + sendHead(queue) + good);
  await untilBlocked(api.broker.sql);
  const closed = closing.close();
  await claims.letGo();
  expect(await answer).toMatch(/^HTTP\/1\.1 200 [^]*HTTP\/1\.1 200 [^]*connection: close/i);
  await closed;
});

test("a server that closes sends answers to their end, and waits ten seconds for who does not read", async () => {
  await using closing = await ServedApi.start(api, { stalledAfterMs: 300_000 });
  for (let count = 0; count < 12; count += 1)
    await api.broker.client().send(queue, ["x".repeat(MIB)]);
  const [slow, deaf] = await Promise.all([closing.connect(), closing.connect()]);
  for (const socket of [slow, deaf]) {
    socket.write(receiveFrom(queue, { maxMessages: 12, visibilityTimeout: 0 }));
    await once(socket, "readable");
  }
  slow.write(sendHead(queue) + good);
  await until(async () => (await api.broker.counts(queue)).visible === 13);
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
  await using closing = await ServedApi.start(api);
  const begin = async (part: string) => {
    const socket = await closing.connect();
    expect(await closing.asks(socket)).toMatch(/^HTTP\/1\.1 200 /);
    socket.write(part);
    return { socket, answer: answerOf(socket) };
  };
  const slow = await begin(sendHead(queue) + good.slice(0, 1));
  await setTimeout(7_000);
  const body = await begin(sendHead(queue, [json, "Content-Length: 9"]) + "{");
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

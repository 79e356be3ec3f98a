import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";

import { afterAll, expect, test } from "vitest";

import { until } from "../broker/interleaving.ts";
import { TestApi } from "./api.ts";
import { close, good, json, sendHead, ServedApi } from "./served.ts";

const api = await TestApi.start({ dispatchers: 0 });
afterAll(() => api[Symbol.asyncDispose]());

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
  await using frozen = await ServedApi.start(api, { stoodStillAfterMs: 3_000, onStandstill });
  const queue = await api.broker.newQueue();
  const signals = new Int32Array(new SharedArrayBuffer(8));
  const workerData = {
    port: frozen.port,
    head: sendHead(queue, [json, close, `Content-Length: ${good.length}`]),
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
  expect(await api.broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
  await until(async () => (await frozen.asks(await frozen.connect())).startsWith("HTTP/1.1 200 "));
  expect(told[0]).toBeGreaterThanOrEqual(3_500);
});

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

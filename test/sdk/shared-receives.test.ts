import { connect, createAdmin, queue } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import type { Consumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { countsOf, empty, eventually, gate, noting, range } from "./consumer-setup.ts";
import { startSluice, unique } from "./sluice.ts";
import type { Sluice } from "./sluice.ts";

let sluice: Sluice;
beforeAll(async () => {
  sluice = await startSluice();
});
afterAll(() => sluice[Symbol.asyncDispose]());

interface Seen {
  path: string;
  /** Names of the queues it receives from, of a shared call. */
  queues: string[];
}

type Results = { receipts?: unknown[]; acknowledged?: unknown; error?: object }[];

/** Receives and acknowledgements of a connection. */
let seen: Seen[];
let queues: string[];
beforeEach(async () => {
  seen = [];
  queues = ["a", "b", "c"].map((name) => unique(name));
  const admin = createAdmin(connect({ url: sluice.url }));
  for (const name of queues) await admin.queues.create(name);
});

const shared = () => seen.filter(({ path }) => path === "/v1/receive");
const send = (name: string, ...bodies: string[]) =>
  createProducer(connect({ url: sluice.url })).sendAll(queue(name), bodies);

/** A connection that notes them; a shared one may be answered otherwise than the server does. */
function connection(answer: (results: Results) => Response | undefined = () => undefined) {
  return connect({
    url: sluice.url,
    fetch: async (input, init) => {
      const path = new URL(input as string).pathname;
      if (!/\/(receive|ack)$/.test(path)) return await fetch(input, init);
      const { receives = [] } = JSON.parse(init?.body as string) as {
        receives?: { queue: string }[];
      };
      seen.push({ path, queues: receives.map((one) => one.queue) });
      const response = await fetch(input, init);
      if (path !== "/v1/receive") return response;
      const text = await response.text();
      const { results } = JSON.parse(text) as { results: Results };
      return answer(results) ?? new Response(text, response);
    },
  });
}

function refusal(status: number, code: string): Response {
  return Response.json({ error: { code, message: `Refused as ${code}.` } }, { status });
}

/** Consumers of the three queues, started in one go, each with what it had. */
function consumers(over: ReturnType<typeof connection>) {
  const { failures, options } = noting({ visibilityTimeout: 30, batchSize: 10 });
  return queues.map((name) => {
    const bodies: string[] = [];
    const counts: number[] = [];
    const consumer = createConsumer(over, queue(name), options);
    void consumer.runBatches((messages) => {
      bodies.push(...messages.map(({ body }) => body));
      counts.push(...messages.map(({ receiveCount }) => receiveCount));
    });
    return { consumer, bodies, counts, failures };
  });
}

async function stop(all: { consumer: Consumer<unknown> }[]): Promise<void> {
  await Promise.all(all.map(({ consumer }) => consumer.stop()));
}

test("consumers of a connection receive and acknowledge by the same calls", async () => {
  const texts = range(50).map(String);
  for (const name of queues) await send(name, ...texts);
  const over = connection();
  const all = consumers(over);
  await eventually(() => all.forEach(({ bodies }) => expect(bodies).toHaveLength(50)));
  await stop(all);
  expect(shared()[0]?.queues).toEqual(queues);
  // Each queue needs five receives.
  expect(seen.length).toBeLessThan(15);
  for (const { bodies, failures } of all) {
    expect(bodies.sort((a, b) => Number(a) - Number(b))).toEqual(texts);
    expect(failures).toEqual([]);
  }
  for (const name of queues) expect(await countsOf(over, { name })).toEqual(empty);
});

test("queues that are idle wait by a call of their own, undisturbed by a busy one", async () => {
  const all = consumers(connection());
  const [busy] = queues;
  for (const index of range(20)) {
    await send(busy!, `${index}`);
    await eventually(() => expect(all[0]!.bodies).toHaveLength(index + 1));
  }
  expect(shared().filter((call) => call.queues.includes(queues[1]!)).length).toBeLessThanOrEqual(2);
  await send(queues[1]!, "b");
  await eventually(() => expect(all[1]!.bodies).toEqual(["b"]));
  await stop(all);
});

test("one that stops does so at once, and gives back what still comes for it; the others go on", async () => {
  const over = connection();
  const [a, b, c] = consumers(over);
  await eventually(() => expect(shared()).toHaveLength(1));
  const started = performance.now();
  await a!.consumer.stop();
  // Of the 20 s that it would wait otherwise.
  expect(performance.now() - started).toBeLessThan(15_000);
  await send(queues[0]!, "a");
  await send(queues[1]!, "b");
  await eventually(() => expect(b!.bodies).toEqual(["b"]));
  await eventually(async () => {
    expect(await countsOf(over, { name: queues[0]! })).toEqual({ ...empty, visible: 1 });
  });
  await stop([b!, c!]);
  expect([a, b, c].flatMap((one) => one!.failures)).toEqual([]);
  const [next, ...others] = consumers(over);
  await eventually(() => expect(next!.counts).toEqual([1]));
  await stop([next!, ...others]);
});

test("what is on its way when one stops is made visible again before stop() resolves", async () => {
  const { open, opened } = gate();
  let isOnItsWay = false;
  // The head of the answer is there, its body is not.
  const over = connection((results) => {
    if (!results.some(({ receipts = [] }) => receipts.length > 0)) return undefined;
    isOnItsWay = true;
    const body = new ReadableStream({
      async start(controller) {
        await opened;
        controller.enqueue(new TextEncoder().encode(JSON.stringify({ results })));
        controller.close();
      },
    });
    return new Response(body, { headers: { "content-type": "application/json" } });
  });
  await send(queues[0]!, "a");
  const [a, b, c] = consumers(over);
  await eventually(() => expect(isOnItsWay).toBe(true));
  const stopping = a!.consumer.stop();
  open();
  await stopping;
  expect(a!.bodies).toEqual([]);
  expect(await countsOf(over, { name: queues[0]! })).toEqual({ ...empty, visible: 1 });
  await stop([b!, c!]);
});

/**
 * A connection whose shared answers with messages are on their way for as long as the gate is shut; its caller may hang
 * up meanwhile.
 */
function slowWayBack(opened: Promise<void>) {
  let onTheirWay = 0;
  const over = connect({
    url: sluice.url,
    fetch: async (input, init) => {
      const response = await fetch(input, init);
      if (!(input as string).endsWith("/receive")) return response;
      const text = await response.text();
      if (!text.includes('"receipt"')) return new Response(text, response);
      onTheirWay += 1;
      const { signal } = init as { signal: AbortSignal };
      await new Promise<void>((resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
        void opened.then(resolve);
      });
      return new Response(text, response);
    },
  });
  return { over, onTheirWay: () => onTheirWay };
}

test("an answer that is on its way when one stops reaches the others at once", async () => {
  const { open, opened } = gate();
  const { over, onTheirWay } = slowWayBack(opened);
  for (const name of queues) await send(name, "m");
  const [a, ...others] = consumers(over);
  await eventually(() => expect(onTheirWay()).toBeGreaterThan(0));
  await a!.consumer.stop();
  open();
  await eventually(() => others.forEach(({ bodies }) => expect(bodies).toEqual(["m"])));
  await stop(others);
  expect(others.map(({ counts }) => counts)).toEqual([[1], [1]]);
  await eventually(async () => {
    expect(await countsOf(over, { name: queues[0]! })).toEqual({ ...empty, visible: 1 });
  });
  const next = consumers(over);
  await eventually(() => expect(next[0]!.counts).toEqual([1]));
  await stop(next);
});

test("an answer that is on its way when the last one stops is waited for, and given back", async () => {
  const { open, opened } = gate();
  const { over, onTheirWay } = slowWayBack(opened);
  await send(queues[0]!, "m");
  const numbers = queue(queues[0]!);
  const consumer = createConsumer(over, numbers, { visibilityTimeout: 30 });
  const running = consumer.run(() => {});
  await eventually(() => expect(onTheirWay()).toBe(1));
  const stopping = consumer.stop();
  open();
  await stopping;
  await running;
  expect(await countsOf(over, numbers)).toEqual({ ...empty, visible: 1 });
});

test("when all have stopped the call is given up, and takes nothing", async () => {
  const all = consumers(connection());
  await eventually(() => expect(shared()).toHaveLength(1));
  await stop(all);
  for (const name of queues) await send(name, "m");
  const next = consumers(connection());
  await eventually(() => next.forEach(({ bodies }) => expect(bodies).toEqual(["m"])));
  expect(next.flatMap(({ counts }) => counts)).toEqual([1, 1, 1]);
  await stop(next);
});

test.each([
  ["with route_not_found, as by an older server", () => refusal(404, "route_not_found"), true],
  ["by a gateway", () => new Response("<html>", { status: 403 }), true],
  ["with invalid_request", () => refusal(400, "invalid_request"), false],
  ["with request_too_large", () => refusal(413, "request_too_large"), false],
])("where a shared call is refused %s each receives by itself", async (_, answer, isFinal) => {
  for (const name of queues) await send(name, "m");
  const all = consumers(connection(answer));
  // What the server had for the refused call it has handed out: only what comes after it is received.
  await eventually(() => expect(seen.length).toBeGreaterThan(3));
  for (const name of queues) await send(name, "later");
  await eventually(() => all.forEach(({ bodies }) => expect(bodies).toContain("later")));
  await stop(all);
  expect(all.flatMap(({ failures }) => failures)).toEqual([]);
  if (isFinal) expect(shared()).toHaveLength(1);
});

test("what one acknowledges while a lock holds that up is acknowledged again, quietly", async () => {
  let heldUp = 0;
  const over = connection((results) => {
    const [first] = results;
    if (first?.acknowledged === undefined || heldUp > 0) return undefined;
    heldUp += 1;
    delete first.acknowledged;
    return Response.json({ results });
  });
  for (const name of queues) await send(name, ...range(30).map(String));
  const all = consumers(over);
  await eventually(() => all.forEach(({ bodies }) => expect(bodies).toHaveLength(30)));
  await stop(all);
  expect(seen.map(({ path }) => path)).toContain(`/v1/queues/${queues[0]}/ack`);
  expect(await countsOf(over, { name: queues[0]! })).toEqual(empty);
  expect(all.flatMap(({ failures }) => failures)).toEqual([]);
});

test("one that was held up asks again, quietly, and acknowledges once more what it had", async () => {
  let heldUp = 0;
  const over = connection((results) => {
    const [first] = results;
    const others = results.slice(1).some(({ receipts = [] }) => receipts.length > 0);
    if (first?.acknowledged === undefined || !others || heldUp > 0) return undefined;
    heldUp += 1;
    // What was received with it goes the way of an answer that got lost.
    first.error = { code: "unavailable", message: "Held up." };
    return Response.json({ results });
  });
  for (const name of queues) await send(name, ...range(30).map(String));
  const all = consumers(over);
  await eventually(() => all.slice(1).forEach(({ bodies }) => expect(bodies).toHaveLength(30)));
  expect(heldUp).toBe(1);
  expect(seen.map(({ path }) => path)).toContain(`/v1/queues/${queues[0]}/ack`);
  await send(queues[0]!, "later");
  await eventually(() => expect(all[0]!.bodies).toContain("later"));
  await stop(all);
  expect(all.flatMap(({ failures }) => failures)).toEqual([]);
});

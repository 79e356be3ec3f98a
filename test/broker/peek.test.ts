import type { PeekRequest } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { numbered } from "./client.ts";
import { failOnce, newPair } from "./dead-letters.ts";
import { connectTraced } from "./statements.ts";

const broker = await Broker.start({ dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

async function peek(queue: string, request: PeekRequest = {}) {
  return await broker.engine.peek(ACCOUNT, queue, request);
}

/** The bodies of all pages, and how many pages there were. */
async function walk(queue: string, request: PeekRequest) {
  const bodies: string[] = [];
  let pages = 0;
  let cursor: string | undefined;
  do {
    const page = await peek(queue, { ...request, cursor });
    bodies.push(...page.messages.map(({ body }) => body));
    cursor = page.nextCursor;
    pages += 1;
  } while (cursor !== undefined && pages < 1_000);
  return { bodies, pages };
}

async function rowsOf(queue: string) {
  return await broker.sql`
    SELECT * FROM slices WHERE queue_id = ${await broker.idOf(queue)}::bigint ORDER BY visible_at, batch_id, pending`;
}

/** Bodies m0, m1, … in three slices, of which some have gaps and one is split. */
async function newRaggedQueue() {
  const queue = await broker.newQueue({ visibilityTimeout: 600 });
  const bodies = numbered(90);
  for (const start of [0, 30, 60]) {
    await client.send(queue, bodies.slice(start, start + 30));
    await broker.clock.advance(1);
  }
  const all = await client.drain(queue);
  const gone = all.filter(({ body }) => Number(body.slice(1)) % 7 === 3);
  await client.acknowledge(queue, gone);
  const back = all.filter((message) => !gone.includes(message));
  await client.hide(queue, back.slice(20, 40), 0);
  await client.hide(queue, back.slice(0, 20), 0);
  await client.hide(queue, back.slice(40), 0);
  return { queue, left: back.map(({ body }) => body) };
}

test("a message is shown whole, and nothing about it changes", async () => {
  const queue = await broker.newQueue();
  const attributes = { tenant: { type: "String", value: "acme" } };
  const [messageId] = await client.send(queue, [{ body: "m", attributes, groupId: "g" }]);
  const before = await rowsOf(queue);
  const { messages, nextCursor } = await peek(queue);
  expect(messages).toEqual([
    {
      messageId,
      body: "m",
      attributes,
      groupId: "g",
      state: "visible",
      receiveCount: 0,
      sentAt: expect.any(Date),
      visibleAt: expect.any(Date),
    },
  ]);
  expect(nextCursor).toBeUndefined();
  expect(await rowsOf(queue)).toEqual(before);
  expect(await client.receive(queue)).toMatchObject([{ messageId, receiveCount: 1 }]);
});

test("oldest first or newest first", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, ["a", "b"]);
  await broker.clock.advance(1);
  await client.send(queue, ["c", "d"]);
  expect((await walk(queue, {})).bodies).toEqual(["a", "b", "c", "d"]);
  expect((await walk(queue, { order: "newest" })).bodies).toEqual(["d", "c", "b", "a"]);
  expect((await peek(queue, { order: "newest", limit: 1 })).messages[0]?.body).toBe("d");
});

describe("pages", () => {
  test.each([1, 7, 10, 100])("of %i show each message once, in both orders", async (limit) => {
    const { queue, left } = await newRaggedQueue();
    const oldest = await walk(queue, { limit });
    expect(oldest.bodies.toSorted()).toEqual(left.toSorted());
    const newest = await walk(queue, { limit, order: "newest" });
    expect(newest.bodies).toEqual(oldest.bodies.toReversed());
    expect(oldest.pages).toBe(Math.ceil(left.length / limit));
  });

  test("go on over more slices than one call looks at", async () => {
    const queue = await broker.newQueue();
    const bodies = numbered(450);
    for (const body of bodies) await client.send(queue, [body]);
    expect((await walk(queue, { limit: 100 })).bodies).toEqual(bodies);
    expect((await walk(queue, { limit: 100, order: "newest" })).bodies).toEqual(
      bodies.toReversed(),
    );
    const searched = await walk(queue, { search: "m449" });
    expect(searched.bodies).toEqual(["m449"]);
    expect(searched.pages).toBeGreaterThan(1);
  });

  test("lose nothing where parts of one batch became dead letters together", async () => {
    const pair = await newPair(broker);
    await client.send(pair.queue, numbered(10));
    const held = await client.receive(pair.queue, { maxMessages: 10 });
    await client.hide(
      pair.queue,
      held.filter((_, index) => index % 2),
      0,
    );
    await broker.clock.advance(60);
    await client.drain(pair.queue);
    expect(await rowsOf(pair.deadLetters)).toHaveLength(2);
    for (const limit of [1, 3, 5]) {
      const { bodies } = await walk(pair.deadLetters, { limit });
      expect(bodies).toEqual(numbered(10));
    }
  });

  test("lose and repeat nothing where one message is there twice in the same instant", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, numbered(3));
    await broker.sql`
      INSERT INTO slices SELECT * FROM slices WHERE queue_id = ${await broker.idOf(queue)}::bigint`;
    const { bodies } = await walk(queue, { limit: 1 });
    expect(bodies).toEqual(["m0", "m0", "m1", "m1", "m2", "m2"]);
  });

  test.each([
    [10, 100],
    [100, 250],
  ])("of %i get past a place with %i slices", async (limit, copies) => {
    const queue = await broker.newQueue();
    await client.send(queue, numbered(3));
    await broker.sql`
      INSERT INTO slices SELECT s.* FROM slices s, generate_series(2, ${copies}::int)
      WHERE queue_id = ${await broker.idOf(queue)}::bigint`;
    await broker.clock.advance(1);
    await client.send(queue, ["last"]);
    for (const order of ["oldest", "newest"] as const) {
      const { bodies } = await walk(queue, { limit, order });
      expect(bodies).toHaveLength(3 * copies + 1);
      expect(new Set(bodies).size).toBe(4);
    }
  });

  test("a cursor that no peek returned is refused", async () => {
    const queue = await broker.newQueue();
    for (const cursor of ["", "x", "MTox", "!!!", Buffer.from("1:2:-1:0").toString("base64url")]) {
      await expect(peek(queue, { cursor })).rejects.toMatchObject({
        code: "invalid_request",
        details: [{ path: "query.cursor" }],
      });
    }
  });
});

describe("of large messages", () => {
  const megabyte = (name: string) => name + "x".repeat(1_000_000);
  const names = Array.from({ length: 12 }, (_, index) => String(index).padStart(2, "0"));
  const namesOf = (bodies: readonly string[]) => bodies.map((body) => body.slice(0, 2));

  async function newLargeQueue(fifo: boolean): Promise<string> {
    const queue = await broker.newQueue({ fifo });
    for (const name of names) {
      const body = megabyte(name);
      await client.send(queue, [fifo ? { body, groupId: "g", deduplicationId: name } : { body }]);
    }
    return queue;
  }

  test.each([false, true])(
    "a page ends after 4 MiB, and the next one goes on (FIFO: %s)",
    async (fifo) => {
      const queue = await newLargeQueue(fifo);
      expect((await peek(queue, { limit: 100 })).messages).toHaveLength(5);
      const { bodies, pages } = await walk(queue, { limit: 100 });
      expect([namesOf(bodies), pages]).toEqual([names, 3]);
      const newest = await walk(queue, { limit: 100, order: "newest" });
      expect(namesOf(newest.bodies)).toEqual(names.toReversed());
      expect(namesOf((await walk(queue, { limit: 2 })).bodies)).toEqual(names);
      expect(namesOf((await walk(queue, { search: "11x" })).bodies)).toEqual(["11"]);
    },
  );

  test.each([{ limit: 100 }, { search: "nowhere" }])(
    "no more than 4 MiB is read at once (%o)",
    async (request) => {
      const queue = await newLargeQueue(false);
      const traced = await connectTraced(broker.databaseUrl);
      const engine = await broker.startEngine(traced);
      traced.statements.length = 0;
      await engine.peek(ACCOUNT, queue, request);
      const reads = traced.statements.filter(({ text }) => text.includes("payload FROM batches"));
      expect(reads.length).toBeGreaterThan(0);
      for (const { parameters } of reads)
        expect(String(parameters[0]).split(",").length).toBeLessThanOrEqual(5);
    },
  );
});

test("a few peeks go on at once, others wait, and too many are refused", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, ["m"]);
  const peeks = await Promise.allSettled(Array.from({ length: 300 }, () => peek(queue)));
  const shown = peeks.filter(({ status }) => status === "fulfilled");
  const refused = peeks.filter(({ status }) => status === "rejected");
  expect(shown.length).toBeGreaterThanOrEqual(100);
  expect(refused.length).toBeGreaterThan(0);
  expect(refused).toEqual(
    refused.map(() => ({
      status: "rejected",
      reason: expect.objectContaining({ code: "too_many_requests" }),
    })),
  );
});

test("a state shows what is in it only", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, ["inFlight"]);
  await client.receive(queue);
  await client.send(queue, ["visible", { body: "delayed", delay: 600 }]);
  for (const state of ["visible", "inFlight", "delayed"] as const) {
    const { messages } = await peek(queue, { state });
    expect(messages).toMatchObject([{ body: state, state }]);
  }
  expect((await peek(queue)).messages).toHaveLength(3);
});

describe("a search finds", () => {
  test("text in bodies and attributes, whatever its case, and nothing else", async () => {
    const queue = await broker.newQueue();
    const attributes = { Tenant: { type: "String", value: "ACME" } };
    await client.send(queue, ["an Order", { body: "x", attributes }, "zzz"]);
    // All pages: a search that takes a second ends its page.
    const found = async (search: string) => (await walk(queue, { search })).bodies;
    expect(await found("ORDER")).toEqual(["an Order"]);
    expect(await found("acme")).toEqual(["x"]);
    expect(await found("tenant")).toEqual(["x"]);
    expect(await found("String")).toEqual([]);
    expect(await found("messageId")).toEqual([]);
    expect(await found("%")).toEqual([]);
  });
});

test("what has expired is not shown, nor what another queue has", async () => {
  const queue = await broker.newQueue({ retention: 60 });
  await client.send(await broker.newQueue(), ["elsewhere"]);
  await client.send(queue, ["m"]);
  await broker.clock.advance(61);
  expect(await peek(queue)).toEqual({ messages: [] });
  await expect(peek("nowhere")).rejects.toMatchObject({ code: "queue_not_found" });
});

test("a dead letter shows why it is one", async () => {
  const pair = await newPair(broker, 2);
  await client.send(pair.queue, ["m"]);
  for (let count = 0; count < 3; count += 1) await failOnce(client, pair.queue);
  expect((await peek(pair.deadLetters)).messages).toMatchObject([
    { state: "visible", failureReason: "received 2 times without being acknowledged" },
  ]);
});

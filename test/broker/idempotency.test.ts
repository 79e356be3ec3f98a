import { setImmediate } from "node:timers/promises";

import { connectDatabase } from "@sluice/database";
import { cleanUp } from "@sluice/engine";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, Client, numbered } from "./client.ts";
import { newFifoTopic } from "./fifo.ts";
import { holdTable, holdWith, until, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ engines: 2 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

let queue: string;
let topic: string;
beforeEach(async () => {
  queue = await broker.newQueue();
  topic = await broker.newTopic([queue]);
});

/** Cleans up from now on: the dispatcher may be about it, from before this, and then nobody else is. */
async function cleanedUp() {
  await until(async () => (await cleanUp(broker.database.maintenance)) !== undefined);
}

/** Any characters that a header may have. */
const keys = [
  "plain",
  `"quoted"`,
  String.raw`back\slash`,
  "{brace,comma}",
  " ~!@#$%^&*() ",
  "NULL",
  "'",
];

test.each(keys)(
  "a repeated publish with the key %j stores nothing and answers the same ids",
  async (key) => {
    const ids = await client.publish(topic, ["a", "b"], key);
    expect(await client.publish(topic, ["a", "b"], key)).toEqual(ids);
    expect(await otherProcess.publish(topic, ["a", "b"], key)).toEqual(ids);
    await broker.untilFannedOut();
    const messages = await client.drain(queue);
    expect(messages.map((message) => message.messageId)).toEqual(ids);
  },
);

test("a repeated send stores nothing and answers the same ids", async () => {
  const ids = await client.send(queue, ["a", "b"], "send");
  expect(await otherProcess.send(queue, ["a", "b"], "send")).toEqual(ids);
  expect(bodiesOf(await client.drain(queue))).toEqual(["a", "b"]);
});

test("calls without a key are never taken for repeats", async () => {
  await Promise.all([client.send(queue, ["m"]), client.send(queue, ["m"])]);
  expect(await client.drain(queue)).toHaveLength(2);
});

test("what was acknowledged meanwhile does not come back with a repeat", async () => {
  const ids = await client.send(queue, ["m"], "acknowledged");
  await client.finish(queue);
  expect(await client.send(queue, ["m"], "acknowledged")).toEqual(ids);
  expect(await client.drain(queue)).toEqual([]);
});

describe("repeats at the same instant", () => {
  test("in one process store one", async () => {
    const calls = Array.from({ length: 20 }, () => client.send(queue, ["a", "b"], "same-process"));
    const answers = await Promise.all(calls);
    expect(new Set(answers.map(String)).size).toBe(1);
    expect(bodiesOf(await client.drain(queue))).toEqual(["a", "b"]);
  });

  test("in two processes store one", async () => {
    const calls = Array.from({ length: 20 }, (_, index) =>
      (index % 2 ? client : otherProcess).publish(topic, ["a", "b"], "two-processes"),
    );
    const answers = await Promise.all(calls);
    expect(new Set(answers.map(String)).size).toBe(1);
    await broker.untilFannedOut();
    expect(bodiesOf(await client.drain(queue))).toEqual(["a", "b"]);
  });

  test("of many keys, in another order in each process, store one of each", async () => {
    const many = numbered(40, "crossing-");
    const send = async (key: string, by: typeof client) => await by.send(queue, [key], key);
    const [forth, back] = await Promise.all([
      Promise.all(many.map((key) => send(key, client))),
      Promise.all(many.toReversed().map((key) => send(key, otherProcess))),
    ]);
    expect(back.toReversed()).toEqual(forth);
    expect(bodiesOf(await client.drain(queue)).sort()).toEqual(many.sort());
  });

  test("take nobody along who shares their write", async () => {
    await client.send(queue, ["first"], "shared-write");
    const answers = await Promise.all([
      client.send(queue, ["a"]),
      client.send(queue, ["first"], "shared-write"),
      client.send(queue, ["b"], "another"),
      client.send(queue, ["c"]),
    ]);
    expect(answers).toHaveLength(4);
    expect(bodiesOf(await client.drain(queue)).sort()).toEqual(["a", "b", "c", "first"]);
  });
});

describe("a key that was used", () => {
  const reused = { code: "idempotency_key_reused" };

  test("for another topic or queue is refused, and stores nothing", async () => {
    const elsewhere = await broker.newTopic([queue]);
    await client.publish(topic, ["m"], "elsewhere");
    await expect(client.publish(elsewhere, ["m"], "elsewhere")).rejects.toMatchObject(reused);
    await expect(client.send(queue, ["m"], "elsewhere")).rejects.toMatchObject(reused);
    await broker.untilFannedOut();
    expect(bodiesOf(await client.drain(queue))).toEqual(["m"]);
  });

  test("for a queue is refused for the topic of the same number", async () => {
    const [{ id } = { id: "" }] = await broker.sql<{ id: string }[]>`
      SELECT id FROM queues WHERE name = ${queue}`;
    await client.send(queue, ["m"], "same-number");
    await broker.sql`UPDATE idempotency_keys SET target_kind = 'topic' WHERE key = 'same-number'`;
    await expect(client.send(queue, ["m"], "same-number")).rejects.toMatchObject(reused);
    expect(id).not.toBe("");
  });

  test("with another number of messages is refused, and stores nothing", async () => {
    await client.send(queue, ["a", "b"], "count");
    await expect(client.send(queue, ["a"], "count")).rejects.toMatchObject(reused);
    await expect(client.send(queue, ["a", "b", "c"], "count")).rejects.toMatchObject(reused);
    expect(bodiesOf(await client.drain(queue))).toEqual(["a", "b"]);
  });

  test("is refused where more of the messages are accepted than were then, and nothing is told as stored", async () => {
    const small = await broker.newQueue({ maxMessageSize: 1_024 });
    const call = async (bodies: string[], { engine }: Pick<Broker, "engine"> = broker) =>
      await engine.sender.send(
        ACCOUNT,
        small,
        bodies.map((body) => ({ body })),
        { idempotencyKey: "accepted" },
      );
    const large = "x".repeat(2_000);
    expect(await call([large, "b"])).toMatchObject([
      { error: { code: "message_too_large" } },
      { messageId: expect.any(String) },
    ]);
    await expect(call(["a", "b"])).rejects.toMatchObject(reused);
    // As many are accepted, of another number.
    await expect(call(["b"])).rejects.toMatchObject(reused);
    await broker.engine.queues.update(ACCOUNT, small, { maxMessageSize: 4_096 });
    await expect(call([large, "b"], otherProcess)).rejects.toMatchObject(reused);
    expect(bodiesOf(await client.drain(small))).toEqual(["b"]);
  });

  test("in another account is another key", async () => {
    const account = "000000000007";
    await broker.engine.queues.create(account, queue, {});
    const [id] = await client.send(queue, ["m"], "account");
    const [theirs] = await broker.engine.sender.send(account, queue, [{ body: "m" }], {
      idempotencyKey: "account",
    });
    expect(theirs).not.toEqual({ messageId: id });
  });

  test("in a call that failed is free", async () => {
    await expect(client.send("nowhere", ["m"], "failed")).rejects.toMatchObject({
      code: "queue_not_found",
    });
    expect(await client.send(queue, ["m"], "failed")).toHaveLength(1);
  });
});

test("messages refused alone keep the ids of the others stable", async () => {
  const call = async (engine = broker.engine) =>
    await engine.sender.send(
      ACCOUNT,
      queue,
      [{ body: "a" }, { body: "" }, { body: "b" }, { body: "\u0000" }, { body: "c" }],
      { idempotencyKey: "partial" },
    );
  const first = await call();
  expect(await call(otherProcess.engine)).toEqual(first);
  const ids = first.flatMap((result) => ("messageId" in result ? [result.messageId] : []));
  const messages = await client.drain(queue);
  expect(messages.map((message) => message.messageId)).toEqual(ids);
  expect(bodiesOf(messages)).toEqual(["a", "b", "c"]);
});

test("a key is remembered for five minutes, and free some time after that", async () => {
  const ids = await client.send(queue, ["m"], "window");
  await broker.clock.advance(270);
  await cleanedUp();
  expect(await client.send(queue, ["m"], "window")).toEqual(ids);
  await broker.clock.advance(31);
  await cleanedUp();
  expect(await client.send(queue, ["m"], "window")).not.toEqual(ids);
});

test.for([
  ["publish", false],
  ["publish", true],
  ["send", false],
  ["send", true],
] as const)(
  "a key of a call that may be made again for a while is remembered as long, and five minutes (%s, FIFO: %s)",
  async ([verb, fifo]) => {
    const { engine } = broker;
    const to = await broker.newQueue({ fifo });
    const onto = fifo ? await newFifoTopic(broker, []) : topic;
    const call = async () => {
      const message = { body: "m", ...(fifo && { groupId: "g", deduplicationId: "m" }) };
      const options = { idempotencyKey: `${verb} ${fifo}`, repeatableFor: 900 };
      return verb === "send"
        ? await engine.sender.send(ACCOUNT, to, [message], options)
        : await engine.publisher.publish(ACCOUNT, onto, [message], options);
    };
    const first = await call();
    await broker.clock.advance(900 + 270);
    await cleanedUp();
    expect(await call()).toEqual(first);
    await broker.clock.advance(31);
    await cleanedUp();
    expect(await call()).not.toEqual(first);
  },
);

test.each(["standard", "FIFO"])(
  "a call to a %s queue that its process comes to minutes later is not stored: it may have been repeated elsewhere",
  async (kind) => {
    await using frozen = await Broker.start({ dispatchers: 0 });
    const to = await frozen.newQueue(
      kind === "FIFO" ? { fifo: true, contentBasedDeduplication: true } : {},
    );
    const message = (body: string) => ({ body, groupId: "g" });
    const table = await holdTable(frozen.sql, "test_clock");
    const first = frozen.client().send(to, [message("first")]);
    await untilBlocked(frozen.sql);
    const late = frozen.client().send(to, [message("late")], "key");
    const refused = expect(late).rejects.toMatchObject({ code: "unavailable" });
    await setImmediate();
    const now = performance.now();
    const clock = vi.spyOn(performance, "now").mockImplementation(() => now + 151_000);
    await table.letGo();
    await Promise.all([first, refused]);
    clock.mockRestore();
    expect(bodiesOf(await frozen.client().drain(to))).toEqual(["first"]);
  },
);

test("nor is one that its process comes to minutes later while it looks up what it goes to", async () => {
  await using frozen = await Broker.start({ dispatchers: 0 });
  const to = await frozen.newQueue();
  // It takes no connection for silent meanwhile.
  const database = connectDatabase({ url: frozen.databaseUrl, pool: 4, silenceMs: 600_000 });
  const cold = new Client(await frozen.startEngine(database));
  const table = await holdTable(frozen.sql, "queues");
  const refused = expect(cold.send(to, ["late"], "key")).rejects.toMatchObject({
    code: "unavailable",
  });
  await untilBlocked(frozen.sql);
  const now = performance.now();
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now + 151_000);
  await table.letGo();
  await refused.finally(() => {
    clock.mockRestore();
  });
});

test("nor is one that its process comes to minutes later while it asks for ids", async () => {
  await using frozen = await Broker.start({ dispatchers: 0 });
  const to = await frozen.newQueue();
  // It takes no connection for silent meanwhile.
  const database = connectDatabase({ url: frozen.databaseUrl, pool: 4, silenceMs: 600_000 });
  const cold = new Client(await frozen.startEngine(database));
  const ids = await holdWith(frozen.sql, "ALTER SEQUENCE batch_ids CACHE 1");
  const refused = expect(cold.send(to, ["late"], "key")).rejects.toMatchObject({
    code: "unavailable",
  });
  await untilBlocked(frozen.sql);
  const now = performance.now();
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now + 151_000);
  await ids.letGo();
  await refused.finally(() => {
    clock.mockRestore();
  });
});

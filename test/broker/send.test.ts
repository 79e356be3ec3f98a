import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";
import { holdTable, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

test("a sent message is visible as soon as it was answered", async () => {
  const queue = await broker.newQueue();
  const [id] = await client.send(queue, ["hello"]);
  expect(await broker.counts(queue)).toEqual({ visible: 1, inFlight: 0, delayed: 0 });
  const messages = await client.receive(queue);
  expect(messages).toMatchObject([
    { messageId: id, body: "hello", attributes: {}, receiveCount: 1 },
  ]);
});

test("a message comes out as it went in, whatever its characters", async () => {
  const queue = await broker.newQueue();
  const message = {
    body: 'tab\t line\n\r "quotes" \\ \u2028\u2029 é ñ 日本 😀 \u{10FFFF} \u{FFFD} {"json":["\\u001e"]}',
    attributes: {
      tenant: { type: "String", value: "a\nb 😀" },
      count: { type: "Number.int", value: "-12.5e3" },
      blob: { type: "Binary", value: Buffer.from([0, 10, 30, 255]).toString("base64") },
      constructor: { type: "String", value: "not the object's" },
    },
    groupId: "group-1",
  };
  await client.send(queue, [message]);
  expect(await client.receive(queue)).toMatchObject([message]);
});

test("a call of 1,000 messages arrives whole, once, oldest first", async () => {
  const queue = await broker.newQueue();
  const bodies = numbered(1_000);
  const ids = await client.send(queue, bodies);
  const messages = await client.drain(queue);
  expect(bodiesOf(messages)).toEqual(bodies);
  expect(messages.map((message) => message.messageId)).toEqual(ids);
});

test("messages are handed out in the order in which calls were answered", async () => {
  const queue = await broker.newQueue();
  const bodies = numbered(20);
  for (const body of bodies) await client.send(queue, [body]);
  expect(bodiesOf(await client.drain(queue))).toEqual(bodies);
});

test("a big message keeps small ones company in a call", async () => {
  const queue = await broker.newQueue();
  const big = "x".repeat(1_048_576);
  await client.send(queue, ["before", big, "after"]);
  expect(bodiesOf(await client.drain(queue))).toEqual(["before", big, "after"]);
});

test("calls that arrive together share one write", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, ["first"]);
  const [{ count: before } = { count: 0 }] = await broker.sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM batches`;
  await Promise.all(numbered(50).map((body) => client.send(queue, [body])));
  const [{ count: after } = { count: 0 }] = await broker.sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM batches`;
  expect(after - before).toBe(1);
  expect(await client.drain(queue)).toHaveLength(51);
});

describe("delay", () => {
  test("a message is hidden until its delay is over", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, [{ body: "later", delay: 90 }]);
    expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 1 });
    await broker.clock.advance(60);
    expect(await client.receive(queue)).toEqual([]);
    await broker.clock.advance(30);
    expect(bodiesOf(await client.receive(queue))).toEqual(["later"]);
  });

  test("messages of one call each keep their own", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, [
      { body: "a", delay: 300 },
      "b",
      { body: "c", delay: 900 },
      { body: "d", delay: 300 },
      { body: "e", delay: 0 },
    ]);
    expect(await client.finish(queue)).toEqual(["b", "e"]);
    await broker.clock.advance(301);
    expect(await client.finish(queue)).toEqual(["a", "d"]);
    await broker.clock.advance(600);
    expect(await client.finish(queue)).toEqual(["c"]);
  });

  test("the queue's own counts where a message has none, 0 included", async () => {
    const queue = await broker.newQueue({ delay: 120 });
    await client.send(queue, ["queue's", { body: "none", delay: 0 }]);
    expect(await client.finish(queue)).toEqual(["none"]);
    await broker.clock.advance(120);
    expect(await client.finish(queue)).toEqual(["queue's"]);
  });

  test("a change of the queue's counts for the next send", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["before"]);
    await broker.engine.queues.update(ACCOUNT, queue, { delay: 60 });
    await client.send(queue, ["after"]);
    expect(await broker.counts(queue)).toEqual({ visible: 1, inFlight: 0, delayed: 1 });
  });
});

describe("refusals", () => {
  test("a message that breaks a rule is refused alone", async () => {
    const queue = await broker.newQueue({ maxMessageSize: 1_024 });
    const results = await broker.engine.sender.send(ACCOUNT, queue, [
      { body: "good" },
      { body: "" },
      { body: "x".repeat(1_025) },
      { body: "bell \u0007" },
      { body: "half \ud83d" },
      { body: "b", attributes: { "a..b": { type: "String", value: "v" } } },
      { body: "also good" },
    ]);
    expect(results.map((result) => ("error" in result ? result.error.code : "ok"))).toEqual([
      "ok",
      "invalid_message",
      "message_too_large",
      "invalid_message",
      "invalid_message",
      "invalid_attribute",
      "ok",
    ]);
    expect(bodiesOf(await client.drain(queue))).toEqual(["good", "also good"]);
  });

  test("a queue that is not there is refused", async () => {
    await expect(client.send("nowhere", ["m"])).rejects.toMatchObject({ code: "queue_not_found" });
  });

  test("what Postgres refuses takes nobody along who shares its write", async () => {
    const queue = await broker.newQueue();
    await broker.sql.unsafe(`
      CREATE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF new.payload LIKE '%poison%' THEN RAISE 'poison'; END IF; RETURN new; END $$;
      CREATE TRIGGER refuse_poison BEFORE INSERT ON batches FOR EACH ROW EXECUTE FUNCTION refuse_poison()`);
    const outcomes = await Promise.allSettled([
      client.send(queue, ["one"], "key-1"),
      client.send(queue, ["poison"], "key-2"),
      client.send(queue, ["two"], "key-3"),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(bodiesOf(await client.drain(queue)).sort()).toEqual(["one", "two"]);
    await broker.sql.unsafe("DROP TRIGGER refuse_poison ON batches");
    await expect(client.send(queue, ["poison no more"], "key-2")).resolves.toHaveLength(1);
  });

  test("a send is not answered before its commit", async () => {
    const queue = await broker.newQueue();
    const table = await holdTable(broker.sql, "slices");
    let answered = false;
    const sending = client.send(queue, ["m"]).then(() => (answered = true));
    await untilBlocked(broker.sql);
    expect(answered).toBe(false);
    await table.letGo();
    await sending;
    expect(await broker.counts(queue)).toMatchObject({ visible: 1 });
  });
});

test("the same name in another account is another queue", async () => {
  const queue = await broker.newQueue();
  const other = "000000000042";
  await broker.engine.queues.create(other, queue, {});
  await client.send(queue, ["mine"]);
  const theirs = await broker.engine.receiver.receive(other, queue, { maxMessages: 10 });
  expect(theirs.messages).toBe(0);
  const [mine] = await client.receive(queue);
  const stolen = broker.engine.acknowledger.acknowledge(other, queue, [mine!.handle]);
  await expect(stolen).rejects.toMatchObject({ code: "receipt_handle_invalid" });
});

import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, type Client, type ReceivedMessage } from "./client.ts";
import { byGroup, finishInOrder, grouped, one } from "./fifo.ts";
import { holdTable, holdWith, until, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ engines: 2 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

const newFifo = () => broker.newQueue({ fifo: true, visibilityTimeout: 60 });

describe("a group", () => {
  test("is handed out in the order in which it was sent, several messages to one receive", async () => {
    const queue = await newFifo();
    await client.send(queue, grouped("a", 3));
    await otherProcess.send(queue, grouped("a", 3, 3));
    const messages = await client.receive(queue, { maxMessages: 4 });
    expect(bodiesOf(messages)).toEqual(["a0", "a1", "a2", "a3"]);
    expect(messages.map(({ groupId }) => groupId)).toEqual(["a", "a", "a", "a"]);
  });

  test("is handed out no further while one of its messages is in flight", async () => {
    const queue = await newFifo();
    await client.send(queue, grouped("a", 4));
    const [first, second] = await client.receive(queue, { maxMessages: 2 });
    expect(await otherProcess.receive(queue, { maxMessages: 10 })).toEqual([]);
    await client.acknowledge(queue, [second!]);
    expect(await otherProcess.receive(queue, { maxMessages: 10 })).toEqual([]);
    await client.acknowledge(queue, [first!]);
    expect(bodiesOf(await otherProcess.receive(queue, { maxMessages: 10 }))).toEqual(["a2", "a3"]);
  });

  test("comes again from its first message on when the visibility timeout ends", async () => {
    const queue = await newFifo();
    await client.send(queue, grouped("a", 3));
    const early = await client.receive(queue, { maxMessages: 2 });
    await broker.clock.advance(60);
    const late = await otherProcess.receive(queue, { maxMessages: 3 });
    expect(bodiesOf(late)).toEqual(["a0", "a1", "a2"]);
    expect(late.map(({ receiveCount }) => receiveCount)).toEqual([2, 2, 1]);
    expect(await client.acknowledge(queue, early)).toEqual([
      "receipt_handle_expired",
      "receipt_handle_expired",
    ]);
    expect(await otherProcess.acknowledge(queue, late)).toEqual(["ok", "ok", "ok"]);
  });

  test("waits for the message that is hidden longest", async () => {
    const queue = await newFifo();
    await client.send(queue, grouped("a", 3));
    const held = await client.receive(queue, { maxMessages: 2 });
    expect(await client.hide(queue, [held[1]!], 300)).toEqual(["ok"]);
    await broker.clock.advance(60);
    expect(await client.receive(queue)).toEqual([]);
    expect(await client.acknowledge(queue, [held[1]!])).toEqual(["ok"]);
    expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toEqual(["a0", "a2"]);
  });

  test("goes on at once where its messages are given back, in their order", async () => {
    const queue = await newFifo();
    await client.send(queue, grouped("a", 6));
    const held = await client.receive(queue, { maxMessages: 5 });
    expect(await client.hide(queue, [held[3]!, held[1]!], 0)).toEqual(["ok", "ok"]);
    expect(await client.receive(queue)).toEqual([]);
    expect(await client.acknowledge(queue, [held[0]!])).toEqual(["ok"]);
    expect(await client.hide(queue, [held[2]!, held[4]!], 0)).toEqual(["ok", "ok"]);
    const again = await client.receive(queue, { maxMessages: 3 });
    expect(bodiesOf(again)).toEqual(["a1", "a2", "a3"]);
    await client.acknowledge(queue, again);
    expect(await finishInOrder(client, queue)).toEqual(["a4", "a5"]);
  });

  test("that was handled to its end begins anew", async () => {
    const queue = await newFifo();
    await client.send(queue, grouped("a", 2));
    expect(await finishInOrder(client, queue)).toEqual(["a0", "a1"]);
    await client.send(queue, grouped("a", 2, 2));
    expect(await finishInOrder(otherProcess, queue)).toEqual(["a2", "a3"]);
    const id = await broker.idOf(queue);
    expect(await broker.sql`SELECT FROM fifo_groups WHERE queue_id = ${id}::bigint`).toEqual([]);
  });
});

describe("groups", () => {
  test("do not wait for one another", async () => {
    const queue = await newFifo();
    await client.send(queue, [...grouped("a", 2), ...grouped("b", 2)]);
    expect(bodiesOf(await client.receive(queue))).toEqual(["a0"]);
    expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toEqual(["b0", "b1"]);
  });

  test("come in the order of their oldest messages", async () => {
    const queue = await newFifo();
    for (const message of [one("z", "1"), one("b", "2"), one("z", "3"), one("a", "4")])
      await client.send(queue, [message]);
    const bodies: string[] = [];
    for (let count = 0; count < 3; count += 1) {
      const [message] = await client.receive(queue);
      bodies.push(message!.body);
    }
    expect(bodies).toEqual(["1", "2", "4"]);
  });

  test("go whole to one of several receives that share a claim", async () => {
    const queue = await newFifo();
    const waiting = Array.from({ length: 4 }, () =>
      client.receive(queue, { maxMessages: 4, wait: 20 }),
    );
    await otherProcess.send(
      queue,
      ["a", "b", "c", "d"].flatMap((name) => grouped(name, 4)),
    );
    const answers = await Promise.all(waiting);
    const owners = answers.flatMap((messages) => Object.keys(byGroup(messages)));
    expect(owners.sort()).toEqual(["a", "b", "c", "d"]);
    for (const messages of answers) {
      for (const [group, bodies] of Object.entries(byGroup(messages)))
        expect(bodies).toEqual(
          grouped(group, bodies.length).map((each) => (each as { body: string }).body),
        );
    }
  });

  test("are never in two hands, however many processes ask", async () => {
    const queue = await newFifo();
    const names = Array.from({ length: 20 }, (_, index) => `g${index}-`);
    await client.send(
      queue,
      names.flatMap((name) => grouped(name, 5)),
    );
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        broker.client(index % 2).receive(queue, { maxMessages: 3 }),
      ),
    );
    const owners = answers.flatMap((messages) => Object.keys(byGroup(messages)));
    expect(new Set(owners).size).toBe(owners.length);
  });
});

test("sequence numbers rise within a group, in answers to sends and in receives alike", async () => {
  const queue = await newFifo();
  const results = [
    ...(await client.engine.sender.send(ACCOUNT, queue, grouped("a", 3) as never)),
    ...(await otherProcess.engine.sender.send(ACCOUNT, queue, grouped("a", 3, 3) as never)),
  ];
  const sent = results.map((result) => ("error" in result ? "" : result.sequenceNumber));
  expect(sent).toEqual(sent.toSorted());
  for (const number of sent) expect(number).toMatch(/^\d{20}$/);
  const messages = await client.receive(queue, { maxMessages: 10 });
  expect(messages.map(({ sequenceNumber }) => sequenceNumber)).toEqual(sent);
});

describe("a message to a FIFO queue is refused", () => {
  test.each([
    ["without a group", { body: "m", deduplicationId: "d" }],
    ["without a deduplication id", { body: "m", groupId: "g" }],
    ["with a delay of its own", { body: "m", groupId: "g", deduplicationId: "d", delay: 5 }],
    ["with a group that is no token", { body: "m", groupId: "a b", deduplicationId: "d" }],
    [
      "with a deduplication id that is too long",
      { body: "m", groupId: "g", deduplicationId: "d".repeat(129) },
    ],
  ])("%s, alone", async (_, message) => {
    const queue = await newFifo();
    const results = await client.engine.sender.send(ACCOUNT, queue, [
      message,
      { body: "m", groupId: "g", deduplicationId: "ok" },
    ]);
    expect(results).toMatchObject([
      { error: { code: "invalid_message" } },
      { messageId: expect.any(String) },
    ]);
  });

  test("and one with a deduplication id by a standard queue", async () => {
    const queue = await broker.newQueue();
    await expect(client.send(queue, [{ body: "m", deduplicationId: "d" }])).rejects.toThrow(
      /invalid_message.*FIFO/,
    );
  });
});

test("a claim waits for the only group when it is being sent to, and does not skip it", async () => {
  const queue = await newFifo();
  await client.send(queue, grouped("a", 1));
  const id = await broker.idOf(queue);
  const held = await holdWith(
    broker.sql,
    `SELECT FROM fifo_groups WHERE queue_id = ${id} FOR UPDATE`,
  );
  const receiving = client.receive(queue, { wait: 20 });
  await untilBlocked(broker.sql);
  await held.letGo();
  expect(bodiesOf(await receiving)).toEqual(["a0"]);
});

test("an acknowledgement sees what was sent to its group while it waited", async () => {
  const queue = await newFifo();
  await client.send(queue, grouped("a", 1));
  const messages = await client.receive(queue);
  const id = await broker.idOf(queue);
  const held = await holdWith(
    broker.sql,
    `SELECT FROM fifo_groups WHERE queue_id = ${id} FOR UPDATE;
     INSERT INTO fifo_slices (queue_id, group_id, sequence, batch_id, pending, account, visible_at, sent_at)
     SELECT queue_id, group_id, nextval('fifo_sequences'), batch_id, pending, account, sent_at, sent_at
     FROM fifo_slices WHERE queue_id = ${id}`,
    "COMMIT",
  );
  const acknowledging = client.acknowledge(queue, messages);
  await untilBlocked(broker.sql, 1, 0.3);
  await held.letGo();
  expect(await acknowledging).toEqual(["ok"]);
  expect(bodiesOf(await client.receive(queue))).toEqual(["a0"]);
});

test("what waits for the locks of one queue holds up no acknowledgement, visibility change or receive of another", async () => {
  const [locked, free] = [await newFifo(), await newFifo()];
  const names = ["a", "b", "c", "d", "e", "f"];
  for (const queue of [locked, free]) {
    await client.send(
      queue,
      names.map((name) => one(name, `${name}0`)),
    );
  }
  const [waiting, going] = [await client.drain(locked), await client.drain(free)];
  expect([waiting.length, going.length]).toEqual([6, 6]);
  const held = await holdWith(
    broker.sql,
    `SELECT FROM fifo_groups WHERE queue_id = ${await broker.idOf(locked)} FOR UPDATE`,
  );
  const acknowledging = client.acknowledge(locked, waiting.slice(0, 1));
  expect(await client.acknowledge(free, going.slice(0, 1))).toEqual(["ok"]);
  const hiding = waiting.slice(1).map((message) => client.hide(locked, [message], 600));
  await untilBlocked(broker.sql, 2, 0.3);
  expect(await client.hide(free, going.slice(1, 2), 0)).toEqual(["ok"]);
  expect(bodiesOf(await client.receive(free))).toEqual(bodiesOf(going.slice(1, 2)));
  expect(await client.acknowledge(free, going.slice(2))).not.toContain("receipt_handle_expired");
  await held.letGo();
  expect((await Promise.all([acknowledging, ...hiding])).flat()).toEqual(waiting.map(() => "ok"));
});

describe("a long poll", () => {
  test("gets the next messages of a group as soon as those before are acknowledged", async () => {
    const queue = await newFifo();
    await client.send(queue, grouped("a", 2));
    const first = await client.receive(queue);
    const waiting = otherProcess.receive(queue, { wait: 20 });
    await client.acknowledge(queue, first);
    expect(bodiesOf(await waiting)).toEqual(["a1"]);
  });

  test("that was given up takes nothing: its messages are visible again at once", async () => {
    const queue = await newFifo();
    const gone = new AbortController();
    const held = await holdWith(broker.sql, "ALTER SEQUENCE lease_ids CACHE 32");
    await otherProcess.send(queue, grouped("a", 2));
    const waiting = client.receive(queue, { maxMessages: 2, wait: 20, signal: gone.signal });
    await untilBlocked(broker.sql);
    gone.abort();
    await held.letGo();
    expect(await waiting).toEqual([]);
    await until(async () => (await broker.counts(queue)).visible === 2);
    expect(bodiesOf(await otherProcess.receive(queue, { maxMessages: 2, wait: 20 }))).toEqual([
      "a0",
      "a1",
    ]);
  });

  test("gets a delayed message when its time has come", async () => {
    const queue = await broker.newQueue({ fifo: true, delay: 1 });
    await client.send(queue, grouped("a", 1));
    const [message] = await client.receive(queue, { wait: 20 });
    expect(message!.body).toBe("a0");
    expect(message!.firstReceivedAt - message!.sentAt).toBeGreaterThanOrEqual(999);
  });
});

test("a delayed message holds up what was sent after it", async () => {
  const queue = await broker.newQueue({ fifo: true, delay: 600 });
  await client.send(queue, grouped("a", 1));
  await client.engine.queues.update(ACCOUNT, queue, { delay: 0 });
  await client.send(queue, [...grouped("a", 1, 1), ...grouped("b", 1)]);
  expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toEqual(["b0"]);
  await broker.clock.advance(600);
  expect(byGroup(await client.receive(queue, { maxMessages: 10 }))["a"]).toEqual(["a0", "a1"]);
});

test("no visibility timeout ends later than 12 hours after the receive", async () => {
  const queue = await newFifo();
  await client.send(queue, grouped("a", 2));
  const messages = await client.receive(queue, { maxMessages: 2, visibilityTimeout: 7_200 });
  await broker.clock.advance(3_600);
  expect(await client.hide(queue, messages, 43_200)).toEqual([
    "visibility_beyond_limit",
    "visibility_beyond_limit",
  ]);
  expect(await client.hide(queue, messages, 39_000)).toEqual(["ok", "ok"]);
});

test("nor where a receive, and then a change, takes a part of what was stored together", async () => {
  const queue = await newFifo();
  await client.send(queue, grouped("a", 4));
  const messages = await client.receive(queue, { maxMessages: 2, visibilityTimeout: 7_200 });
  expect(await client.hide(queue, messages.slice(0, 1), 39_000)).toEqual(["ok"]);
  await broker.clock.advance(3_600);
  expect(await client.hide(queue, messages, 43_200)).toEqual([
    "visibility_beyond_limit",
    "visibility_beyond_limit",
  ]);
});

/** Receives and acknowledges until nothing is left, noting the order in which it saw the bodies of each group. */
async function consume(by: Client, queue: string, seen: ReceivedMessage[], done: () => boolean) {
  while (!done()) {
    const messages = await by.receive(queue, { maxMessages: 7, wait: 1 });
    seen.push(...messages);
    await by.acknowledge(queue, messages);
  }
}

test("with two processes that send, receive and acknowledge at once, each group stays in the order of its sends", async () => {
  const queue = await newFifo();
  const groups = Array.from({ length: 8 }, (_, index) => `g${index}-`);
  const each = 60;
  const seen: ReceivedMessage[] = [];
  const done = () => seen.length >= groups.length * each;
  const sending = groups.map(async (name, index) => {
    for (let from = 0; from < each; from += 3)
      await broker.client((index + from) % 2).send(queue, grouped(name, 3, from));
  });
  await Promise.all([
    ...sending,
    ...[0, 1, 0, 1].map((by) => consume(broker.client(by), queue, seen, done)),
  ]);
  for (const name of groups) {
    const bodies = bodiesOf(seen.filter(({ groupId }) => groupId === name));
    expect(bodies).toEqual(Array.from({ length: each }, (_, index) => `${name}${index}`));
  }
  expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
});

test("a claim that waits for a group holds no other one that a send waits for", async () => {
  const queue = await newFifo();
  await client.send(queue, [one("a", "a0"), one("b", "b0")]);
  const [{ id }] = (await broker.sql`
    SELECT id FROM queues WHERE account = ${ACCOUNT}::bigint AND name = ${queue}`) as [
    { id: string },
  ];
  const ofQueue = `fifo_groups WHERE queue_id = ${BigInt(id)}`;
  const held = await holdWith(broker.sql, `SELECT FROM ${ofQueue} AND group_id = 'a' FOR UPDATE`);
  const sent = client.send(queue, [one("a", "a1"), one("b", "b1")]);
  await untilBlocked(broker.sql, 1);
  // The claim has its snapshot, and b is handed out before it gets there.
  const clock = await holdTable(broker.sql, "test_clock");
  const received = otherProcess.receive(queue, { maxMessages: 10, wait: 20 });
  await untilBlocked(broker.sql, 2);
  await broker.sql.unsafe(`
    UPDATE fifo_groups SET available_at = available_at + interval '60 s'
    WHERE queue_id = ${BigInt(id)} AND group_id = 'b'`);
  await clock.letGo();
  // Now it waits for a.
  await untilBlocked(broker.sql, 2);
  await held.letGo();
  await expect(sent).resolves.toHaveLength(2);
  expect(bodiesOf(await received)[0]).toBe("a0");
});

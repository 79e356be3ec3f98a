import { carryOnRedrives } from "@sluice/engine";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, messagesOf, numbered } from "./client.ts";
import { failOnce, newPair } from "./dead-letters.ts";
import { holdWith, until, untilBlocked } from "./interleaving.ts";

const broker = await Broker.start({ engines: 2, dispatchers: 0 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

/** A queue with one batch of so many messages, all of them received in one call for 60 seconds. */
async function received(count: number) {
  const queue = await broker.newQueue({ visibilityTimeout: 60 });
  await client.send(queue, numbered(count));
  const messages = await client.receive(queue, { maxMessages: count });
  expect(messages).toHaveLength(count);
  return { queue, messages };
}

test("a longer timeout hides the message for so long from now", async () => {
  const { queue, messages } = await received(1);
  await broker.clock.advance(50);
  expect(await client.hide(queue, messages, 100)).toEqual(["ok"]);
  await broker.clock.advance(90);
  expect(await client.receive(queue)).toEqual([]);
  await broker.clock.advance(10);
  expect(await client.receive(queue)).toMatchObject([{ receiveCount: 2 }]);
});

test("a shorter one shows it sooner", async () => {
  const { queue, messages } = await received(1);
  await client.hide(queue, messages, 10);
  await broker.clock.advance(10);
  expect(await client.receive(queue)).toMatchObject([{ receiveCount: 2 }]);
});

test("0 shows it at once, with its receive count raised", async () => {
  const { queue, messages } = await received(3);
  expect(await client.hide(queue, messages, 0)).toEqual(["ok", "ok", "ok"]);
  expect(await broker.counts(queue)).toEqual({ visible: 3, inFlight: 0, delayed: 0 });
  const again = await otherProcess.receive(queue, { maxMessages: 3 });
  expect(bodiesOf(again)).toEqual(bodiesOf(messages));
  expect(again.map((message) => message.receiveCount)).toEqual([2, 2, 2]);
});

test("some messages of a batch change, the others stay as they were", async () => {
  const { queue, messages } = await received(9);
  await client.hide(queue, messages.slice(0, 3), 0);
  await client.hide(queue, messages.slice(3, 6), 600);
  expect(await broker.counts(queue)).toEqual({ visible: 3, inFlight: 6, delayed: 0 });
  expect(await client.finish(queue)).toEqual(["m0", "m1", "m2"]);
  await broker.clock.advance(60);
  expect(await client.finish(queue)).toEqual(["m6", "m7", "m8"]);
  await broker.clock.advance(540);
  expect(await client.finish(queue)).toEqual(["m3", "m4", "m5"]);
});

describe("the handle of before", () => {
  test("still acknowledges after one change and after many", async () => {
    const { queue, messages } = await received(5);
    for (let change = 0; change < 10; change += 1) {
      expect(await client.hide(queue, messages.slice(change % 5), 100 + change)).not.toContain(
        "message_not_in_flight",
      );
    }
    expect(await otherProcess.acknowledge(queue, messages)).toEqual(messages.map(() => "ok"));
    await broker.clock.advance(1_000);
    expect(await client.receive(queue)).toEqual([]);
  });

  test("still acknowledges what was given back, until somebody else has received it", async () => {
    const { queue, messages } = await received(2);
    await client.hide(queue, messages, 0);
    expect(await client.acknowledge(queue, messages.slice(0, 1))).toEqual(["ok"]);
    const [theirs] = await otherProcess.receive(queue, { maxMessages: 2 });
    expect(theirs!.body).toBe("m1");
    expect(await client.acknowledge(queue, messages)).toEqual([
      "receipt_handle_expired",
      "receipt_handle_expired",
    ]);
  });

  test("still changes the visibility again", async () => {
    const { queue, messages } = await received(4);
    await client.hide(queue, messages.slice(0, 2), 300);
    expect(await client.hide(queue, messages, 600)).toEqual(["ok", "ok", "ok", "ok"]);
    await broker.clock.advance(590);
    expect(await client.receive(queue)).toEqual([]);
    await broker.clock.advance(10);
    expect(await client.drain(queue)).toHaveLength(4);
  });
});

describe("is refused, and changes nothing,", () => {
  test("for a message that was acknowledged", async () => {
    const { queue, messages } = await received(2);
    await client.acknowledge(queue, messages.slice(0, 1));
    expect(await client.hide(queue, messages, 0)).toEqual(["message_not_in_flight", "ok"]);
    expect(await client.finish(queue)).toEqual(["m1"]);
  });

  test("for a message whose timeout has run out", async () => {
    const { queue, messages } = await received(1);
    await broker.clock.advance(60);
    expect(await client.hide(queue, messages, 600)).toEqual(["message_not_in_flight"]);
    expect(bodiesOf(await client.receive(queue))).toEqual(["m0"]);
  });

  test("for a message that somebody else has received since", async () => {
    const { queue, messages } = await received(3);
    await broker.clock.advance(60);
    const current = await otherProcess.receive(queue, { maxMessages: 3 });
    expect(await client.hide(queue, messages, 0)).toEqual(
      messages.map(() => "message_not_in_flight"),
    );
    await otherProcess.hide(queue, current.slice(0, 1), 600);
    expect(await client.hide(queue, messages, 0)).toEqual(
      messages.map(() => "message_not_in_flight"),
    );
    expect(await broker.counts(queue)).toEqual({ visible: 0, inFlight: 3, delayed: 0 });
  });

  test("for a message that was given back already", async () => {
    const { queue, messages } = await received(1);
    await client.hide(queue, messages, 0);
    expect(await client.hide(queue, messages, 600)).toEqual(["message_not_in_flight"]);
    expect(bodiesOf(await client.receive(queue))).toEqual(["m0"]);
  });
});

describe("in one call", () => {
  test("each message of a batch has a timeout of its own", async () => {
    const { queue, messages } = await received(63);
    const entries = messages.map((message, index) => ({
      receiptHandle: message.handle,
      visibilityTimeout: (index % 3) * 100,
    }));
    expect(await broker.engine.visibility.change(ACCOUNT, queue, entries)).toEqual(
      messages.map(() => undefined),
    );
    for (const third of [0, 1, 2]) {
      const expected = bodiesOf(messages).filter((_, index) => index % 3 === third);
      expect((await client.finish(queue)).sort()).toEqual(expected.sort());
      await broker.clock.advance(100);
    }
  });

  test("63 messages with 63 timeouts go", async () => {
    const { queue, messages } = await received(63);
    const entries = messages.map((message, index) => ({
      receiptHandle: message.handle,
      visibilityTimeout: 100 * (index + 1),
    }));
    expect(await broker.engine.visibility.change(ACCOUNT, queue, entries)).toEqual(
      messages.map(() => undefined),
    );
    await broker.clock.advance(3_150);
    expect(await broker.counts(queue)).toEqual({ visible: 31, inFlight: 32, delayed: 0 });
  });

  test("of entries for the same message the last one counts", async () => {
    const { queue, messages } = await received(2);
    const receiptHandle = messages[0]!.handle;
    const entries = [0, 30, 600].map((visibilityTimeout) => ({ receiptHandle, visibilityTimeout }));
    const results = await broker.engine.visibility.change(ACCOUNT, queue, entries);
    expect(results).toEqual([undefined, undefined, undefined]);
    await broker.clock.advance(60);
    expect(await client.finish(queue)).toEqual(["m1"]);
    await broker.clock.advance(540);
    expect(await client.finish(queue)).toEqual(["m0"]);
  });
});

describe.each([
  ["a standard queue", false],
  ["a FIFO queue", true],
] as const)("of %s, what nobody has looked at", (_, fifo) => {
  /** A queue whose messages, all of one batch and one group, are dead letters after one receive that counts. */
  async function fetched(count: number) {
    const { queue, deadLetters } = await newPair(broker, 1, { fifo });
    const contents = numbered(count).map((body) => ({ body, groupId: "g", deduplicationId: body }));
    await client.send(queue, fifo ? contents : numbered(count));
    const messages = await client.receive(queue, { maxMessages: count });
    expect(bodiesOf(messages)).toEqual(numbered(count));
    return { queue, deadLetters, messages };
  }

  test("is given back as not received, as often as it is fetched", async () => {
    const { queue, deadLetters, messages } = await fetched(5);
    let held = messages;
    for (const giver of [client, otherProcess, client]) {
      expect(await giver.giveBack(queue, held)).toEqual(held.map(() => "ok"));
      expect(await broker.counts(queue)).toEqual({ visible: 5, inFlight: 0, delayed: 0 });
      await broker.clock.advance(10);
      held = await client.receive(queue, { maxMessages: 5 });
      expect(bodiesOf(held)).toEqual(numbered(5));
      expect(held.map(({ receiveCount }) => receiveCount)).toEqual([1, 1, 1, 1, 1]);
      expect(held[0]!.firstReceivedAt).toBeGreaterThan(messages[0]!.firstReceivedAt + 9_000);
    }
    expect(await client.acknowledge(queue, held)).toEqual(held.map(() => "ok"));
    expect(await client.drain(deadLetters)).toEqual([]);
  });

  test("comes again behind what failed, which alone becomes a dead letter", async () => {
    const { queue, deadLetters, messages } = await fetched(5);
    const entries = messages.map(({ handle: receiptHandle }, index) => ({
      receiptHandle,
      visibilityTimeout: 0,
      received: index === 0,
    }));
    const results = await broker.engine.visibility.change(ACCOUNT, queue, entries);
    expect(results).toEqual(messages.map(() => undefined));
    const again = await client.receive(queue, { maxMessages: 5 });
    expect(bodiesOf(again)).toEqual(numbered(5).slice(1));
    expect(again.map(({ receiveCount }) => receiveCount)).toEqual([1, 1, 1, 1]);
    expect(bodiesOf(await client.drain(deadLetters))).toEqual(["m0"]);
  });

  test("counts down once, and only for whoever holds it", async () => {
    const { queue, deadLetters, messages } = await fetched(3);
    const refused = messages.map(() => "message_not_in_flight");
    expect(await client.giveBack(queue, messages)).toEqual(messages.map(() => "ok"));
    expect(await client.giveBack(queue, messages)).toEqual(refused);
    const second = await client.receive(queue, { maxMessages: 3 });
    expect(second.map(({ receiveCount }) => receiveCount)).toEqual([1, 1, 1]);
    expect(await client.giveBack(queue, messages)).toEqual(refused);
    // Its time is over, and nobody has received them since.
    await broker.clock.advance(60);
    const late = await client.giveBack(queue, second);
    expect(late).toEqual(messages.map(() => "ok"));
    expect(await client.giveBack(queue, second)).toEqual(refused);
    expect(bodiesOf(await client.drain(queue))).toEqual(numbered(3));
    expect(await client.drain(deadLetters)).toEqual([]);
  });

  test("counts down once also where it is a part of what was stored together", async () => {
    const { queue, messages } = await fetched(3);
    const part = messages.slice(0, 1);
    expect(await client.giveBack(queue, part)).toEqual(["ok"]);
    expect(await client.giveBack(queue, part)).toEqual(["message_not_in_flight"]);
  });
});

test.each([
  ["a standard queue", false],
  ["a FIFO queue", true],
])(
  "in %s, what is split off keeps its first receive, a reason and where it came from",
  async (_, fifo) => {
    const { queue, deadLetters } = await newPair(broker, 1, { fifo });
    const contents = numbered(3).map((body) => ({ body, groupId: "g", deduplicationId: body }));
    await client.send(queue, fifo ? contents : numbered(3));
    await failOnce(client, queue);
    expect(await client.receive(queue)).toEqual([]);
    const first = await client.receive(deadLetters, { maxMessages: 3 });
    await broker.clock.advance(10);
    const entry = { receiptHandle: first[0]!.handle, visibilityTimeout: 0, reason: "no bank" };
    expect(await broker.engine.visibility.change(ACCOUNT, deadLetters, [entry])).toEqual([
      undefined,
    ]);
    expect(await client.hide(deadLetters, first.slice(1), 0)).toEqual(["ok", "ok"]);
    const again = await broker.engine.receiver.receive(ACCOUNT, deadLetters, { maxMessages: 3 });
    expect(messagesOf(again).map(({ firstReceivedAt }) => firstReceivedAt)).toEqual(
      first.map(({ firstReceivedAt }) => firstReceivedAt),
    );
    const known = again.slices.flatMap(({ lines, deadLetter }) => lines.map(() => deadLetter));
    const sourceQueueId = await broker.idOf(queue);
    const reason = "received 1 time without being acknowledged";
    expect(new Set(known.map((letter) => letter?.sourceQueueId))).toEqual(new Set([sourceQueueId]));
    expect(known.map((letter) => letter?.reason).sort()).toEqual(["no bank", reason, reason]);
  },
);

test("what was received before keeps its first receive when a later one does not count", async () => {
  const { queue, messages } = await received(2);
  await client.hide(queue, messages, 0);
  await broker.clock.advance(10);
  const second = await client.receive(queue, { maxMessages: 2 });
  expect(await client.giveBack(queue, second)).toEqual(["ok", "ok"]);
  const again = await client.receive(queue, { maxMessages: 2 });
  expect(again.map(({ receiveCount }) => receiveCount)).toEqual([2, 2]);
  expect(again[0]!.firstReceivedAt).toBe(messages[0]!.firstReceivedAt);
});

describe("at the same instant", () => {
  test("two processes change different messages of a batch", async () => {
    const { queue, messages } = await received(62);
    const outcomes = await Promise.all(
      messages.map((message, index) =>
        (index % 2 ? client : otherProcess).hide(queue, [message], index % 2 ? 0 : 600),
      ),
    );
    expect(outcomes.flat()).toEqual(messages.map(() => "ok"));
    expect(await broker.counts(queue)).toEqual({ visible: 31, inFlight: 31, delayed: 0 });
  });

  test("one process acknowledges what it can while another one changes the rest", async () => {
    const { queue, messages } = await received(60);
    const outcomes = await Promise.all(
      messages.map((message, index) =>
        index % 2 ? client.hide(queue, [message], 0) : otherProcess.acknowledge(queue, [message]),
      ),
    );
    expect(outcomes.flat()).toEqual(messages.map(() => "ok"));
    const odd = bodiesOf(messages).filter((_, index) => index % 2);
    expect((await client.finish(queue)).sort()).toEqual(odd.sort());
  });
});

test("two processes that change parts of the same batches, each in an order of its own, do not wait for each other in a circle", async () => {
  const queue = await broker.newQueue({ visibilityTimeout: 60 });
  await client.send(queue, numbered(2, "x"));
  await client.send(queue, numbered(2, "y"));
  const messages = await client.receive(queue, { maxMessages: 4 });
  const [x0, x1, y0, y1] = messages.toSorted((a, b) => (a.body < b.body ? -1 : 1));
  const queueId = await broker.idOf(queue);
  const first = await holdWith(
    broker.sql,
    `SELECT FROM slices WHERE queue_id = ${queueId} ORDER BY visible_at, batch_id LIMIT 1 FOR UPDATE`,
  );
  const one = client.hide(queue, [x0!, y0!], 90);
  await untilBlocked(broker.sql, 1);
  const other = otherProcess.hide(queue, [y1!, x1!], 90);
  await untilBlocked(broker.sql, 2);
  await first.letGo();
  expect(await Promise.all([one, other])).toEqual([
    ["ok", "ok"],
    ["ok", "ok"],
  ]);
});

test("changes that wait for locks, in however many queues, leave connections to those of other queues, and to receives", async () => {
  const locked = [];
  for (let number = 0; number < 6; number += 1) {
    const queue = await broker.newQueue({ visibilityTimeout: 600 });
    for (const body of numbered(4)) await client.send(queue, [body]);
    locked.push({ queue, id: await broker.idOf(queue), messages: await client.drain(queue) });
  }
  const { queue: free, messages } = await received(1);
  const ids = locked.map(({ id }) => id).join();
  const slices = await holdWith(
    broker.sql,
    `SELECT FROM slices WHERE queue_id IN (${ids}) FOR UPDATE`,
  );
  const hiding = locked.flatMap(({ queue, messages: all }) =>
    all.map((message, index) => client.hide(queue, [message], 600 * index)),
  );
  await untilBlocked(broker.sql, 2);
  for (const timeout of [600, 900, 0]) {
    // No connection is idle just then, and some are soon.
    const others = [1, 2].map(() => client.engine.database.sql`SELECT pg_sleep(0.02)`.execute());
    expect(await client.hide(free, messages, timeout)).toEqual(["ok"]);
    await Promise.all(others);
  }
  expect(await client.acknowledge(free, await client.receive(free))).toEqual(["ok"]);
  await slices.letGo();
  expect((await Promise.all(hiding)).flat()).toEqual(hiding.map(() => "ok"));
  expect(await broker.counts(locked[0]!.queue)).toEqual({ visible: 1, inFlight: 3, delayed: 0 });
});

describe("nothing is hidden for more than 12 hours from its receive", () => {
  const HOURS = 3_600;

  test("a change that would is refused for its entry alone, and changes nothing", async () => {
    const queue = await broker.newQueue({ visibilityTimeout: 11 * HOURS });
    await client.send(queue, numbered(3));
    const messages = await client.receive(queue, { maxMessages: 3 });
    await broker.clock.advance(10 * HOURS);
    const entry = (index: number, hours: number) => ({
      receiptHandle: messages[index]!.handle,
      visibilityTimeout: hours * HOURS,
    });
    const results = await broker.engine.visibility.change(ACCOUNT, queue, [
      entry(0, 3),
      entry(1, 1.9),
    ]);
    expect(results.map((result) => result?.code)).toEqual(["visibility_beyond_limit", undefined]);
    await broker.clock.advance(1 * HOURS);
    expect(bodiesOf(await client.drain(queue)).sort()).toEqual(["m0", "m2"]);
    await broker.clock.advance(0.9 * HOURS);
    expect(bodiesOf(await client.drain(queue))).toEqual(["m1"]);
  });

  test("however often it is changed", async () => {
    const { queue, messages } = await received(1);
    expect(await client.hide(queue, messages, 6 * HOURS)).toEqual(["ok"]);
    await broker.clock.advance(5 * HOURS);
    expect(await client.hide(queue, messages, 6 * HOURS)).toEqual(["ok"]);
    await broker.clock.advance(5 * HOURS);
    expect(await client.hide(queue, messages, 3 * HOURS)).toEqual(["visibility_beyond_limit"]);
    expect(await client.hide(queue, messages, 1 * HOURS)).toEqual(["ok"]);
    expect(await client.acknowledge(queue, messages)).toEqual(["ok"]);
  });

  test("also where a receive, and then a change, takes a part of what was stored together", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, numbered(4));
    const messages = await client.receive(queue, {
      maxMessages: 2,
      visibilityTimeout: 11 * HOURS,
    });
    expect(await client.hide(queue, messages.slice(0, 1), 11 * HOURS)).toEqual(["ok"]);
    await broker.clock.advance(1 * HOURS);
    expect(await client.hide(queue, messages, 12 * HOURS)).toEqual([
      "visibility_beyond_limit",
      "visibility_beyond_limit",
    ]);
  });

  test("a whole 12 hours may be asked for in the receive, and a new receive counts anew", async () => {
    const queue = await broker.newQueue();
    await client.send(queue, ["m"]);
    for (let time = 0; time < 2; time += 1) {
      const [message] = await client.receive(queue, { visibilityTimeout: 12 * HOURS });
      expect(message).toMatchObject({ receiveCount: time + 1 });
      await broker.clock.advance(12 * HOURS + 1);
    }
    const messages = await client.receive(queue, { visibilityTimeout: 60 });
    expect(await client.hide(queue, messages, 11 * HOURS)).toEqual(["ok"]);
  });
});

describe("a reason", () => {
  const release = async (
    queue: string,
    messages: readonly { handle: string }[],
    reason?: string,
  ): Promise<void> => {
    const entries = messages.map(({ handle }) => ({
      receiptHandle: handle,
      visibilityTimeout: 0,
      reason,
    }));
    const results = await broker.engine.visibility.change(ACCOUNT, queue, entries);
    expect(results).toEqual(entries.map(() => undefined));
  };
  const reasons = async (queue: string) => {
    const { messages } = await broker.engine.peek(ACCOUNT, queue, { limit: 100 });
    return Object.fromEntries(messages.map(({ body, failureReason }) => [body, failureReason]));
  };

  test("is kept for each message that it was given for, until there is another", async () => {
    const { queue, messages } = await received(4);
    await release(queue, messages.slice(0, 1), "no bank");
    await release(queue, messages.slice(1, 3), 'a "quoted", {braced} \\ reason');
    await release(queue, messages.slice(3));
    const quoted = 'a "quoted", {braced} \\ reason';
    expect(await reasons(queue)).toEqual({ m0: "no bank", m1: quoted, m2: quoted, m3: undefined });
    const again = await client.receive(queue, { maxMessages: 4 });
    await release(queue, again.slice(0, 2), "no time");
    const other = again.slice(2).map((message) => message.body);
    const kept = await reasons(queue);
    expect(again.slice(0, 2).map(({ body }) => kept[body])).toEqual(["no time", "no time"]);
    expect(other.map((body) => kept[body]).every((reason) => reason !== "no time")).toBe(true);
  });

  test("goes with a message to the dead-letter queue, and a redrive clears it", async () => {
    const pair = await newPair(broker);
    await client.send(pair.queue, ["m"]);
    await release(pair.queue, await client.receive(pair.queue), "poison");
    expect(await client.receive(pair.queue)).toEqual([]);
    expect(await reasons(pair.deadLetters)).toEqual({ m: "poison" });
    const dead = await broker.engine.receiver.receive(ACCOUNT, pair.deadLetters, {});
    expect(dead.slices.map((slice) => slice.deadLetter?.reason)).toEqual(["poison"]);
    await dead.release();
    const queue = await broker.engine.queues.find(ACCOUNT, pair.deadLetters);
    await broker.engine.redrives.start(queue!, {});
    await until(async () => {
      const { sql } = broker;
      return (
        (await carryOnRedrives({
          sql,
          bus: broker.engine.bus,
          observer: broker.observer,
          signal: new AbortController().signal,
        })) === undefined && (await broker.counts(pair.queue)).visible === 1
      );
    });
    expect(await reasons(pair.queue)).toEqual({ m: undefined });
  });
});

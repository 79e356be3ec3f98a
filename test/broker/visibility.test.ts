import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, numbered } from "./client.ts";

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
      visibilityTimeout: 10 * (index + 1),
    }));
    expect(await broker.engine.visibility.change(ACCOUNT, queue, entries)).toEqual(
      messages.map(() => undefined),
    );
    await broker.clock.advance(315);
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

import { classifyFailure } from "@sluice/database";
import { afterAll, describe, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, messagesOf, type ReceivedMessage } from "./client.ts";
import { byGroup, grouped, one } from "./fifo.ts";

const broker = await Broker.start({ engines: 2 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();
const otherProcess = broker.client(1);

async function newFifo(): Promise<string> {
  const queue = await broker.newQueue({ fifo: true, visibilityTimeout: 60 });
  await client.send(queue, [...grouped("a", 3), ...grouped("b", 3)]);
  return queue;
}

describe("a receive that is repeated with its attempt id", () => {
  test("gets the same messages with the same handles, and their visibility timeout begins anew", async () => {
    const queue = await newFifo();
    const first = await client.receive(queue, { maxMessages: 2, attemptId: "one" });
    expect(bodiesOf(first)).toEqual(["a0", "a1"]);
    await broker.clock.advance(50);
    expect(await otherProcess.receive(queue, { maxMessages: 2, attemptId: "one" })).toEqual(first);
    await broker.clock.advance(50);
    expect(await client.receive(queue, { maxMessages: 2, attemptId: "one" })).toEqual(first);
    expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toEqual(["b0", "b1", "b2"]);
    expect(await client.acknowledge(queue, first)).toEqual(["ok", "ok"]);
  });

  test.each([0, 20])("while it is under way gets them too, wait %i", async (wait) => {
    const queue = await newFifo();
    const options = { maxMessages: 2, wait, attemptId: "at once" };
    const ask = async (by: typeof client): Promise<ReceivedMessage[]> =>
      await by.receive(queue, options).catch((error: unknown) => {
        // Where the first one takes longer than it waits, it is told to try again.
        if (classifyFailure(error) !== "unavailable") throw error;
        return ask(by);
      });
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, index) => ask(broker.client(index % 2))),
    );
    for (const messages of answers) expect(messages).toEqual(answers[0]);
    expect(bodiesOf(answers[0]!)).toEqual(["a0", "a1"]);
  });

  test.each([0, 20])("gets them too beside other receives of the queue, wait %i", async (wait) => {
    const queue = await newFifo();
    const first = await client.receive(queue, { maxMessages: 10, attemptId: "one" });
    expect(first).toHaveLength(6);
    const gone = new AbortController();
    const other = client.receive(queue, { wait, signal: gone.signal });
    expect(await client.receive(queue, { maxMessages: 10, wait, attemptId: "one" })).toEqual(first);
    gone.abort();
    expect(await other).toEqual([]);
  });

  test.each([
    [
      "one of them was acknowledged",
      async (queue, messages) => void (await client.acknowledge(queue, [messages[0]!])),
    ],
    [
      "one of them was given back",
      async (queue, messages) => void (await client.hide(queue, [messages[1]!], 0)),
    ],
  ] as [
    string,
    (queue: string, messages: Awaited<ReturnType<typeof client.receive>>) => Promise<void>,
  ][])("is a new one once %s", async (_, act) => {
    const queue = await newFifo();
    const first = await client.receive(queue, { maxMessages: 2, attemptId: "one" });
    await act(queue, first);
    const second = await client.receive(queue, { maxMessages: 2, attemptId: "one" });
    expect(bodiesOf(second)).toEqual(["b0", "b1"]);
  });

  test("is a new one once their visibility timeout has ended", async () => {
    const queue = await newFifo();
    await client.receive(queue, { maxMessages: 2, attemptId: "one" });
    await broker.clock.advance(61);
    const second = await client.receive(queue, { maxMessages: 2, attemptId: "one" });
    expect(bodiesOf(second)).toEqual(["b0", "b1"]);
  });

  test("gets them again also where it took two parts of what was stored together", async () => {
    const queue = await broker.newQueue({ fifo: true, visibilityTimeout: 60 });
    await client.send(queue, grouped("a", 3));
    await client.hide(queue, await client.receive(queue), 0);
    const first = await client.receive(queue, { maxMessages: 3, attemptId: "parts" });
    expect(bodiesOf(first)).toEqual(["a0", "a1", "a2"]);
    expect(await client.receive(queue, { maxMessages: 3, attemptId: "parts" })).toEqual(first);
  });

  test("gets them again also where others have received large messages since", async () => {
    const queue = await broker.newQueue({ fifo: true, visibilityTimeout: 60 });
    await client.send(queue, grouped("a", 300));
    const first = await client.receive(queue, { maxMessages: 300, attemptId: "many" });
    expect(first).toHaveLength(300);
    const body = "x".repeat(700_000);
    for (let count = 0; count < 20; count += 1)
      await client.send(queue, [{ body, groupId: "b", deduplicationId: `b${count}` }]);
    expect(await client.receive(queue, { maxMessages: 300 })).toHaveLength(20);
    expect(await client.receive(queue, { maxMessages: 300, attemptId: "many" })).toEqual(first);
  });

  test("is a new one where it asks for fewer, and takes nothing from the first", async () => {
    const queue = await newFifo();
    const first = await client.receive(queue, { maxMessages: 3, attemptId: "fewer" });
    expect(bodiesOf(first)).toEqual(["a0", "a1", "a2"]);
    const second = await client.receive(queue, { maxMessages: 1, attemptId: "fewer" });
    expect(bodiesOf(second)).toEqual(["b0"]);
    expect(await otherProcess.receive(queue, { maxMessages: 10 })).toEqual([]);
    expect(await client.acknowledge(queue, first)).toEqual(["ok", "ok", "ok"]);
  });

  test("keeps them when the client of the first is found to have gone, and when its own is", async () => {
    const queue = await newFifo();
    const receive = (by: typeof client) =>
      by.engine.receiver.receive(ACCOUNT, queue, { maxMessages: 3, attemptId: "gone" });
    const first = await receive(client);
    const second = await receive(otherProcess);
    await first.release();
    await second.release();
    expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toEqual(["b0", "b1", "b2"]);
    expect(await client.acknowledge(queue, messagesOf(second))).toEqual(["ok", "ok", "ok"]);
  });

  test("hides them for no longer than 12 hours after the first", async () => {
    const queue = await newFifo();
    const first = await client.receive(queue, { maxMessages: 3, attemptId: "long" });
    await broker.clock.advance(59);
    const options = { maxMessages: 3, attemptId: "long", visibilityTimeout: 43_200 };
    expect(await client.receive(queue, options)).toEqual(first);
    await broker.clock.advance(43_200 - 58);
    expect(byGroup(await client.receive(queue, { maxMessages: 10 }))["a"]).toEqual(bodiesOf(first));
  });

  test("is a new one after five minutes", async () => {
    const queue = await newFifo();
    await client.receive(queue, { maxMessages: 2, attemptId: "one", visibilityTimeout: 600 });
    await broker.clock.advance(301);
    const second = await client.receive(queue, { maxMessages: 2, attemptId: "one" });
    expect(bodiesOf(second)).toEqual(["b0", "b1"]);
  });
});

test("a long poll with an attempt id waits, and its repeat gets what it got", async () => {
  const queue = await broker.newQueue({ fifo: true });
  const waiting = client.receive(queue, { maxMessages: 5, wait: 20, attemptId: "poll" });
  await otherProcess.send(queue, [one("a", "m")]);
  const first = await waiting;
  expect(bodiesOf(first)).toEqual(["m"]);
  expect(await otherProcess.receive(queue, { attemptId: "poll" })).toEqual(first);
});

test("what a receive with an attempt id got is visible again when its client has gone, and nobody has repeated it", async () => {
  const queue = await newFifo();
  const options = { maxMessages: 3, attemptId: "gone" };
  const received = await client.engine.receiver.receive(ACCOUNT, queue, options);
  await received.release();
  expect(bodiesOf(await client.receive(queue, { maxMessages: 10 }))).toHaveLength(6);
});

test("a standard queue takes no notice of an attempt id", async () => {
  const queue = await broker.newQueue();
  await client.send(queue, ["1", "2"]);
  expect(bodiesOf(await client.receive(queue, { attemptId: "one" }))).toEqual(["1"]);
  expect(bodiesOf(await client.receive(queue, { attemptId: "one" }))).toEqual(["2"]);
});

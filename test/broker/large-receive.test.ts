import { MAX_ANSWER } from "@sluice/engine";
import { afterAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf, type ReceivedMessage } from "./client.ts";
import { newPair } from "./dead-letters.ts";

const broker = await Broker.start({ engines: 2 });
afterAll(() => broker[Symbol.asyncDispose]());

/** The second process has stored nothing, and so reads all that it hands out. */
const clients = { "that stored them": broker.client(), "that did not": broker.client(1) };

/** Of one group in FIFO queues. */
const large = Array.from({ length: 48 }, (_, index) => ({
  body: String(index).padStart(700_000, "x"),
  groupId: "g",
}));
const bodies = large.map(({ body }) => body);
test.for([
  ["that stored them", false],
  ["that did not", false],
  ["that stored them", true],
  ["that did not", true],
] as const)(
  "a receive hands out no more than fits into an answer, and the rest was not received (by the process %s, FIFO: %s)",
  async ([which, fifo]) => {
    const client = clients[which];
    // Whatever counts as received a second time is a dead letter.
    const { queue, deadLetters } = await newPair(broker, 1, { fifo });
    for (const message of large) {
      const input = { ...message, ...(fifo && { deduplicationId: message.body.slice(-3) }) };
      await broker.client().send(queue, [fifo ? input : { body: message.body }]);
    }
    const received: ReceivedMessage[] = [];
    while (received.length < large.length) {
      const messages = await client.receive(queue, { maxMessages: 1_000, wait: 5 });
      const length = messages.reduce((sum, { body }) => sum + body.length, 0);
      expect(messages.length).toBeGreaterThan(0);
      expect(length).toBeLessThan(18 * 1024 * 1024);
      received.push(...messages);
      if (fifo) await client.acknowledge(queue, messages);
    }
    if (fifo) expect(bodiesOf(received)).toEqual(bodies);
    else expect(new Set(bodiesOf(received))).toEqual(new Set(bodies));
    expect(new Set(received.map(({ receiveCount }) => receiveCount))).toEqual(new Set([1]));
    expect(await client.drain(deadLetters)).toEqual([]);
    if (!fifo) await client.acknowledge(queue, received);
    expect(await client.drain(queue)).toEqual([]);
  },
);

test("receives that are answered together hand out no more than fits into one answer, also of what is at hand", async () => {
  const queues = await Promise.all(Array.from({ length: 30 }, () => broker.newQueue()));
  const topic = await broker.newTopic(queues);
  for (let count = 0; count < 12; count += 1)
    await broker.client().publish(topic, ["x".repeat(250_000)]);
  const share = Math.floor(MAX_ANSWER / queues.length);
  const all = await Promise.all(
    queues.map((queue) =>
      broker.engine.receiver.receive(ACCOUNT, queue, {
        maxMessages: 12,
        length: () => share,
        wait: 20,
      }),
    ),
  );
  const lines = all.flatMap(({ slices }) => slices.flatMap((slice) => slice.lines));
  const length = lines.reduce((sum, line) => sum + line.length, 0);
  // Each its share, and a batch more.
  expect(length).toBeLessThan(MAX_ANSWER + queues.length * 260_000);
  await Promise.all(all.map(({ release }) => release()));
});

test.each([false, true])(
  "what was not hidden and did not fit was not received either (FIFO: %s)",
  async (fifo) => {
    // Whatever counts as received a second time is a dead letter.
    const { queue, deadLetters } = await newPair(broker, 1, { fifo });
    for (const { body, groupId } of large) {
      const input = { body, groupId, deduplicationId: body.slice(-3) };
      await broker.client().send(queue, [fifo ? input : { body }]);
    }
    const first = await broker.client(1).receive(queue, {
      maxMessages: 1_000,
      visibilityTimeout: 0,
    });
    expect(first.length).toBeLessThan(large.length);
    const seen = new Set(bodiesOf(first));
    while (seen.size < large.length) {
      const messages = await broker.client(1).receive(queue, { maxMessages: 1_000, wait: 5 });
      expect(messages.length).toBeGreaterThan(0);
      for (const { body } of messages) seen.add(body);
      await broker.client(1).acknowledge(queue, messages);
    }
    const dead = bodiesOf(await broker.client(1).drain(deadLetters));
    for (const body of dead) expect(bodiesOf(first)).toContain(body);
  },
);

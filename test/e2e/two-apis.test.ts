import { afterAll, expect, test } from "vitest";
import { Client } from "./http.ts";
import { install } from "./installation.ts";

const { apis, ...installation } = await install({ apis: 2, dispatchers: 2 });
afterAll(() => installation[Symbol.asyncDispose]());
const [one, other] = apis.map(({ url }) => new Client(url)) as [Client, Client];

test("a message published through one API wakes a long poll on the other", async () => {
  const queue = await one.subscribedQueue();
  for (const body of ["first", "second", "third"]) {
    const poll = other.receive(queue, { wait: 20 });
    const [messageId] = await one.publish(queue, body);
    const [message, ...more] = await poll;
    expect(message).toMatchObject({ messageId, body, receiveCount: 1 });
    expect(more).toEqual([]);
    expect(await one.acknowledge(queue, message!.receiptHandle)).toEqual(["ok"]);
  }
  expect(await other.counts(queue)).toMatchObject({ visible: 0, inFlight: 0 });
});

test("receivers on both APIs share a queue: each message goes to one of them", async () => {
  const queue = await one.subscribedQueue({ visibilityTimeout: 600 });
  const bodies = Array.from({ length: 600 }, (_, index) => `${index}`);
  const received: string[] = [];
  const receiveAll = async (client: Client) => {
    while (received.length < bodies.length) {
      const messages = await client.receive(queue, { maxMessages: 50, wait: 1 });
      received.push(...messages.map(({ body }) => body));
    }
  };
  const publishAll = async () => {
    for (let from = 0; from < bodies.length; from += 20) {
      await (from % 40 === 0 ? one : other).publish(queue, ...bodies.slice(from, from + 20));
    }
  };
  await Promise.all([publishAll(), ...[one, other, one, other].map(receiveAll)]);
  expect(received).toHaveLength(bodies.length);
  expect(new Set(received)).toEqual(new Set(bodies));
});

test("what one API changes the other knows: a poll on a queue that is deleted is told so", async () => {
  const queue = await one.subscribedQueue();
  const poll = other.call("POST", `/v1/queues/${queue}/receive`, { wait: 20 });
  // The answer to a later call on the same queue: by then the poll is waiting, or never will.
  await other.receive(queue);
  await one.expect("DELETE", `/v1/queues/${queue}`);
  expect(await poll).toMatchObject({ status: 404, body: { error: { code: "queue_not_found" } } });
  const after = await other.call("POST", `/v1/queues/${queue}/receive`, {});
  expect(after).toMatchObject({ status: 404, body: { error: { code: "queue_not_found" } } });
});

test("a long poll whose client has hung up takes no message", async () => {
  // Far longer than the test: a message that went to somebody who is gone would not be seen again in time.
  const queue = await one.subscribedQueue({ visibilityTimeout: 600 });
  const path = `/v1/queues/${queue}/receive`;
  for (let round = 0; round < 10; round++) {
    const gone = await other.begin(path, { maxMessages: 10, wait: 20 });
    gone.send();
    await other.receive(queue);
    gone.hangUp();
  }
  const ids = await one.publish(queue, "a", "b", "c");
  const received: string[] = [];
  while (received.length < ids.length) {
    const messages = await other.receive(queue, { maxMessages: 10, wait: 20 });
    received.push(...messages.map(({ messageId }) => messageId));
  }
  expect(received.sort()).toEqual(ids.sort());
});

test("a late worker cannot take the message from the one who has it now", async () => {
  const queue = await one.subscribedQueue();
  const [messageId] = await one.publish(queue, "slow work");
  const [late] = await one.receive(queue, { wait: 20, visibilityTimeout: 1 });
  const [current] = await other.receive(queue, { wait: 20, visibilityTimeout: 600 });
  expect(late).toMatchObject({ messageId, receiveCount: 1 });
  expect(current).toMatchObject({ messageId, receiveCount: 2 });

  expect(await one.acknowledge(queue, late!.receiptHandle)).toEqual(["receipt_handle_expired"]);
  const entries = [{ receiptHandle: late!.receiptHandle, visibilityTimeout: 0 }];
  expect(await one.expect("POST", `/v1/queues/${queue}/visibility`, { entries })).toMatchObject({
    results: [{ error: { code: "message_not_in_flight" } }],
  });
  expect(await one.counts(queue)).toMatchObject({ visible: 0, inFlight: 1 });

  expect(await one.acknowledge(queue, current!.receiptHandle)).toEqual(["ok"]);
  expect(await other.counts(queue)).toMatchObject({ visible: 0, inFlight: 0 });
});

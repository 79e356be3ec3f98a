import { afterAll, expect, test } from "vitest";

import { TestApi } from "./api.ts";

const api = await TestApi.start();
afterAll(() => api[Symbol.asyncDispose]());

interface Message {
  receiptHandle: string;
  body: string;
}

test("a FIFO queue goes from its creation to the acknowledgement of its messages", async () => {
  const created = await api.call("POST /v1/queues", {
    body: { name: "payments.fifo", fifo: true, contentBasedDeduplication: true },
  });
  expect(created).toMatchObject({
    status: 201,
    body: { fifo: true, contentBasedDeduplication: true, deduplicationScope: "queue" },
  });
  const messages = [
    { body: "1", groupId: "a" },
    { body: "2", groupId: "a", deduplicationId: "two" },
    { body: "1", groupId: "a" },
    { body: "3" },
  ];
  const { results } = await api.ok<{ results: { messageId: string; sequenceNumber: string }[] }>(
    "POST /v1/queues/payments.fifo/messages",
    { body: { messages } },
  );
  expect(results[2]).toEqual(results[0]);
  expect(results[3]).toMatchObject({
    error: { code: "invalid_message", message: expect.stringContaining("groupId") },
  });
  const receive = { body: { maxMessages: 10, receiveAttemptId: "one" } };
  const route = "POST /v1/queues/payments.fifo/receive";
  const received = await api.ok<{ messages: Message[] }>(route, receive);
  expect(received.messages).toMatchObject([
    { body: "1", groupId: "a", ...results[0] },
    { body: "2", groupId: "a", deduplicationId: "two", ...results[1] },
  ]);
  expect(await api.ok(route, receive)).toEqual(received);
  const handles = received.messages.map(({ receiptHandle }) => receiptHandle);
  const acknowledged = await api.ok("POST /v1/queues/payments.fifo/ack", {
    body: { receiptHandles: handles },
  });
  expect(acknowledged).toEqual({ results: [{ ok: true }, { ok: true }] });
});

test.each([
  ["without .fifo", { name: "orders", fifo: true }, "fifo"],
  ["with .fifo and without fifo", { name: "orders.fifo" }, "fifo"],
  [
    "with a standard dead-letter queue",
    { name: "o.fifo", fifo: true, redrive: { deadLetterQueue: "standard", maxReceiveCount: 3 } },
    "redrive.deadLetterQueue",
  ],
])("a queue %s is refused with the place of the mistake", async (_, body, path) => {
  await api.call("POST /v1/queues", { body: { name: "standard" } });
  expect(await api.call("POST /v1/queues", { body })).toMatchObject({
    status: 400,
    body: { error: { code: "invalid_request", details: [{ path }] } },
  });
});

test("what kind a queue is cannot be changed", async () => {
  await api.ok("POST /v1/queues", { body: { name: "kept.fifo", fifo: true } });
  const answer = await api.call("PATCH /v1/queues/kept.fifo", { body: { fifo: false } });
  expect(answer).toMatchObject({ status: 400, body: { error: { code: "invalid_request" } } });
});

test("a FIFO topic goes from its creation to its messages in a FIFO queue, and to their replay", async () => {
  const topic = { name: "orders.fifo", fifo: true, archive: { days: 7 } };
  expect(await api.call("POST /v1/topics", { body: topic })).toMatchObject({
    status: 201,
    body: { ...topic, contentBasedDeduplication: false, fifoThroughputScope: "topic" },
  });
  await api.ok("POST /v1/queues", { body: { name: "billing.fifo", fifo: true } });
  const { id } = await api.ok<{ id: string }>("POST /v1/topics/orders.fifo/subscriptions", {
    body: { queue: "billing.fifo", rawDelivery: true },
  });
  const message = (body: string, groupId: string) => ({ body, groupId, deduplicationId: body });
  const messages = [
    message("1", "a"),
    message("2", "b"),
    message("1", "a"),
    message("3", "a"),
    { body: "4", deduplicationId: "4" },
    { body: "5", groupId: "a" },
  ];
  const { results } = await api.ok<{ results: { messageId: string; sequenceNumber: string }[] }>(
    "POST /v1/topics/orders.fifo/messages",
    { body: { messages } },
  );
  expect(results[2]).toEqual(results[0]);
  const numbers = [0, 1, 3].map((index) => results[index]?.sequenceNumber);
  expect(numbers).toEqual([...numbers].sort());
  const refused = (word: string) => ({
    error: { code: "invalid_message", message: expect.stringContaining(word) },
  });
  expect(results.slice(4)).toMatchObject([refused("groupId"), refused("deduplicationId")]);

  const receive = async () => {
    const answer = await api.ok<{ messages: (Message & { groupId: string })[] }>(
      "POST /v1/queues/billing.fifo/receive",
      { body: { maxMessages: 10, wait: 20 } },
    );
    const receiptHandles = answer.messages.map(({ receiptHandle }) => receiptHandle);
    await api.ok("POST /v1/queues/billing.fifo/ack", { body: { receiptHandles } });
    return answer.messages;
  };
  const expected = [
    { messageId: results[0]?.messageId, body: "1", groupId: "a", deduplicationId: "1" },
    { messageId: results[3]?.messageId, body: "3", groupId: "a", deduplicationId: "3" },
    { messageId: results[1]?.messageId, body: "2", groupId: "b", deduplicationId: "2" },
  ];
  const byGroup = (some: { groupId: string }[]) =>
    some.toSorted((x, y) => (x.groupId < y.groupId ? -1 : 1));
  const live = await receive();
  expect(byGroup(live)).toMatchObject(expected);
  expect(live.every((one) => !("replayed" in one))).toBe(true);
  const from = results[0]?.messageId;
  await api.ok(`POST /v1/subscriptions/${id}/replays`, { body: { from } });
  const again = await receive();
  expect(byGroup(again)).toMatchObject(expected.map((one) => ({ ...one, replayed: true })));
});

test("a FIFO topic fans out to standard queues, and a standard one to no FIFO queue", async () => {
  await api.ok("POST /v1/topics", { body: { name: "all.fifo", fifo: true } });
  await api.ok("POST /v1/topics", { body: { name: "all" } });
  await api.ok("POST /v1/queues", { body: { name: "some" } });
  await api.ok("POST /v1/queues", { body: { name: "some.fifo", fifo: true } });
  const subscribe = (topic: string, queue: string) =>
    api.call(`POST /v1/topics/${topic}/subscriptions`, { body: { queue } });
  expect(await subscribe("all.fifo", "some")).toMatchObject({ status: 201 });
  expect(await subscribe("all", "some.fifo")).toMatchObject({
    status: 400,
    body: { error: { code: "invalid_request", details: [{ path: "queue" }] } },
  });
});

test.each([
  ["without .fifo", { name: "topic", fifo: true }, "fifo"],
  ["with .fifo and without fifo", { name: "topic.fifo" }, "fifo"],
  [
    "of the standard kind that makes ids of bodies",
    { name: "topic", contentBasedDeduplication: true },
    "contentBasedDeduplication",
  ],
])("a topic %s is refused with the place of the mistake", async (_, body, path) => {
  expect(await api.call("POST /v1/topics", { body })).toMatchObject({
    status: 400,
    body: { error: { code: "invalid_request", details: [{ path }] } },
  });
});

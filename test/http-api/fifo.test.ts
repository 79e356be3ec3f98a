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

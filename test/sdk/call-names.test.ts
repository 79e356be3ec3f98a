import { connect, createAdmin, queue, topic } from "@sluice/client";
import type { SluiceError } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";
import { PublishError, createProducer } from "@sluice/producer";
import { expect, test } from "vitest";
import { codeOf, noting } from "./consumer-setup.ts";
import { json, refusal, scriptedServer, type Step } from "./scripted-server.ts";

const orders = topic("orders");
const billing = queue("billing");
const errorOf = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => error as SluiceError,
  );

/** A server that answers all with this; never repeated. */
async function serverThat(...steps: Step[]) {
  const server = await scriptedServer(...steps);
  const connection = connect({ url: server.url, retry: false });
  return { server, connection, producer: createProducer(connection) };
}

const failed = refusal(503, "unavailable");

test("what is published or sent fails as the call that it was", async () => {
  const { server, producer } = await serverThat(failed);
  await using _ = server;
  const calls = [
    producer.publish(orders, "m"),
    producer.publish(orders, "m", { idempotencyKey: "k" }),
    producer.publishAll(orders, ["m", "n"]),
    producer.send(billing, "m"),
    producer.sendAll(billing, ["m", "n"]),
  ];
  const errors = await Promise.all(calls.map(errorOf));
  expect(errors.map((error) => error?.call)).toEqual([
    "producer.publish (POST /v1/topics/orders/messages)",
    "producer.publish (POST /v1/topics/orders/messages)",
    "producer.publishAll (POST /v1/topics/orders/messages)",
    "producer.send (POST /v1/queues/billing/messages)",
    "producer.sendAll (POST /v1/queues/billing/messages)",
  ]);
});

test("a message that is refused alone tells its call too, and so does what is told of all", async () => {
  const refused = { error: { code: "message_too_large", message: "too large" } };
  const { server, producer } = await serverThat(
    json(200, { results: [{ messageId: "1" }, refused] }),
  );
  await using _ = server;
  const error = await errorOf(producer.publishAll(orders, ["m", "n"]));
  const call = "producer.publishAll (POST /v1/topics/orders/messages)";
  expect(error).toBeInstanceOf(PublishError);
  expect(error).toMatchObject({ call, results: [{}, { error: { call } }] });
});

test("an answer that is none of Sluice's names the call in the message", async () => {
  const { server, producer } = await serverThat((response) => response.writeHead(404).end("gone"));
  await using _ = server;
  const error = await errorOf(producer.publish(orders, "m"));
  expect(error?.message).toMatch(
    /^producer\.publish \(POST \/v1\/topics\/orders\/messages\) was answered with status 404 /,
  );
});

test("what is left open by an attempt before, and as JSON, keeps its call", async () => {
  await using server = await scriptedServer(failed, refusal(404, "topic_not_found"));
  const retry = { baseDelayMs: 1, maxDelayMs: 5 };
  const producer = createProducer(connect({ url: server.url, retry }));
  const error = await errorOf(producer.publish(orders, "m"));
  const call = "producer.publish (POST /v1/topics/orders/messages)";
  expect(error).toMatchObject({ code: "topic_not_found", outcomeUnknown: true, call });
  expect(JSON.parse(JSON.stringify(error))).toMatchObject({ call });
});

test.each([
  ["POST /v1/topics", "admin.topics.create"],
  ["POST /v1/queues", "admin.queues.create"],
  ["PATCH /v1/queues/billing.fifo", "admin.queues.update"],
  ["PATCH /v1/subscriptions/0f-1", "admin.subscriptions.update"],
])("where the server advises %s, the error advises %s", async (route, own) => {
  const message = `it is not so; mend it with ${route}, then go on`;
  await using server = await scriptedServer(
    json(404, { error: { code: "topic_not_found", message } }),
  );
  const admin = createAdmin(connect({ url: server.url }));
  await expect(admin.topics.get(orders)).rejects.toMatchObject({
    message: `it is not so; mend it with ${own}, then go on`,
    call: "admin.topics.get (GET /v1/topics/orders)",
  });
});

test("a call that the program makes by itself has the server's name alone", async () => {
  const { server, connection } = await serverThat(failed);
  await using _ = server;
  const error = await errorOf(connection.request({ method: "GET", path: "/v1/topics" }));
  expect(error?.call).toBe("GET /v1/topics");
});

test("what a consumer fails at has the name of its stage", async () => {
  const message = { messageId: "m", body: "x", attributes: {} };
  const at = "2026-11-23T10:00:00.000Z";
  const receipt = { receipt: "r", bits: "1", receiveCount: 1, sentAt: at, firstReceivedAt: at };
  const received = { receipts: [{ ...receipt, messages: [message] }], waitedMs: 0 };
  const expired = { error: { code: "receipt_handle_expired", message: "too late" } };
  const lost = { error: { code: "message_not_in_flight", message: "too late" } };
  const one: Step = (response, { url, body, method }) => {
    if (method === "GET") return json(200, { visibilityTimeout: 30 })(response, seen);
    if (url.endsWith("/ack")) return json(200, { results: [expired] })(response, seen);
    if (url.endsWith("/visibility")) return json(200, { results: [lost] })(response, seen);
    if (body.includes("acknowledge")) return failed(response, seen);
    json(200, received)(response, seen);
  };
  const seen = { method: "", url: "", headers: {}, body: "" };
  const { server, connection } = await serverThat(one);
  await using _ = server;
  const calls: Record<string, string | undefined> = {};
  const { failures, options } = noting({ concurrency: 1, prefetch: 0, wait: 1 });
  const consumer = createConsumer(connection, billing, options);
  await consumer.run(async (held) => {
    void consumer.stop();
    calls["extend"] = (await errorOf(held.extend(60)))?.call;
    calls["ack"] = (await errorOf(held.ack()))?.call;
  });
  const own = "/v1/queues/billing";
  expect(calls).toEqual({
    extend: `consumer.extend (POST ${own}/visibility)`,
    ack: `consumer.acknowledge (POST ${own}/ack)`,
  });
  expect(failures.map(codeOf)).toEqual([]);
});

test("a consumer that cannot begin says what it cannot do", async () => {
  const { server, connection } = await serverThat(refusal(404, "queue_not_found"));
  await using _ = server;
  const error = await errorOf(createConsumer(connection, billing).run(() => {}));
  expect(error?.call).toBe("consumer.receive (GET /v1/queues/billing)");
});

import { createPublicKey, verify, X509Certificate } from "node:crypto";

import { afterAll, expect, test } from "vitest";

import { ACCOUNT, Broker } from "./broker.ts";
import { bodiesOf } from "./client.ts";
import { newPair } from "./dead-letters.ts";
import { newFifoTopic, one } from "./fifo.ts";
import { until } from "./interleaving.ts";

const broker = await Broker.start({ engines: 2 });
afterAll(() => broker[Symbol.asyncDispose]());
const client = broker.client();

const message = {
  body: '{"a":"b"}\n€',
  subject: "s",
  groupId: "g",
  attributes: {
    color: { type: "String", value: "red" },
    traceparent: {
      type: "String",
      value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    },
  },
};

async function enveloped(): Promise<{ topic: string; queue: string; id: string }> {
  const topic = await broker.newTopic();
  const queue = await broker.newQueue();
  const settings = { rawDelivery: false };
  const { subscription } = await broker.engine.subscribe(ACCOUNT, topic, queue, settings);
  return { topic, queue, id: subscription.id };
}

test.each([false, true])("a redriven notification is what it was (FIFO: %s)", async (fifo) => {
  const topic = fifo ? await newFifoTopic(broker, []) : await broker.newTopic();
  const pair = await newPair(broker, 1, { fifo });
  await broker.engine.subscribe(ACCOUNT, topic, pair.queue, { rawDelivery: false });
  await client.publish(topic, fifo ? [one("a", "b")] : [message]);
  const bodies: unknown[] = [];
  const deadLetters = (await broker.engine.queues.find(ACCOUNT, pair.deadLetters))!;
  for (let times = 1; times <= 2; times += 1) {
    const [received] = await client.receive(pair.queue, { wait: 20 });
    bodies.push(received?.body);
    await client.hide(pair.queue, [received!], 0);
    await client.drain(pair.queue);
    await broker.clock.advance(60);
    const { id } = await broker.engine.redrives.start(deadLetters, {});
    await until(
      async () => (await broker.engine.redrives.find(deadLetters, id))?.status === "completed",
    );
  }
  const [again] = await client.receive(pair.queue, { wait: 20 });
  expect(bodies).toEqual([again?.body, again?.body]);
  const { Timestamp } = JSON.parse(again?.body ?? "") as { Timestamp: string };
  expect(again?.sentAt).toBeGreaterThan(Date.parse(Timestamp) + 60_000);
});

test("a subscription without raw delivery gets each message inside a notification of SNS", async () => {
  const { topic, queue, id } = await enveloped();
  const raw = await broker.newQueue();
  await broker.engine.subscribe(ACCOUNT, topic, raw);
  const [messageId] = await client.publish(topic, [message]);
  await broker.untilFannedOut();
  const [received] = await client.receive(queue);
  const arn = `arn:aws:sns:us-east-1:${ACCOUNT}:${topic}`;
  expect(JSON.parse(received?.body ?? "")).toEqual({
    Type: "Notification",
    MessageId: messageId,
    TopicArn: arn,
    Subject: "s",
    Message: message.body,
    Timestamp: new Date(received?.sentAt ?? 0).toISOString(),
    SignatureVersion: "1",
    Signature: expect.any(String) as unknown,
    SigningCertURL: expect.stringMatching(
      /^http:\/\/127\.0\.0\.1:4566\/SimpleNotificationService-[0-9a-f]{32}\.pem$/,
    ) as unknown,
    UnsubscribeURL: `http://127.0.0.1:4566/?Action=Unsubscribe&SubscriptionArn=${arn}:${id}`,
    MessageAttributes: {
      color: { Type: "String", Value: "red" },
      traceparent: { Type: "String", Value: message.attributes.traceparent.value },
    },
  });
  expect(await client.receive(raw)).toMatchObject([message]);
});

test("group and trace context stand outside the notification as well, subject and attributes do not", async () => {
  const { topic, queue } = await enveloped();
  await client.publish(topic, [message]);
  await broker.untilFannedOut();
  const [received] = await client.receive(queue);
  expect(received).toMatchObject({ groupId: "g" });
  expect(received).not.toHaveProperty("subject");
  expect(received?.attributes).toEqual({ traceparent: message.attributes.traceparent });
});

test("the signature is that of the served certificate's key, whichever process hands the message out", async () => {
  const { topic, queue } = await enveloped();
  await client.publish(topic, [message, "plain"]);
  await broker.untilFannedOut();
  for (const by of [0, 1]) {
    const [received] = await broker.client(by).receive(queue);
    const sent = JSON.parse(received?.body ?? "") as Record<string, string>;
    const names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
    const text = names
      .filter((name) => sent[name] !== undefined)
      .map((name) => `${name}\n${sent[name]}\n`)
      .join("");
    const { certificate, certificatePath } =
      (await broker.engines[1 - by]?.envelopes.signingKey()) ?? expect.fail("no engine");
    expect(sent["SigningCertURL"]?.endsWith(certificatePath)).toBe(true);
    const { publicKey } = new X509Certificate(certificate);
    const signature = Buffer.from(sent["Signature"] ?? "", "base64");
    expect(verify("sha1", Buffer.from(text), publicKey, signature)).toBe(true);
    expect(verify("sha1", Buffer.from(`${text}x`), publicKey, signature)).toBe(false);
  }
});

test("the certificate is valid, signed by itself, and not for signing others", async () => {
  const { certificate } = await broker.engine.envelopes.signingKey();
  const parsed = new X509Certificate(certificate);
  expect(
    parsed.verify(createPublicKey(parsed.publicKey.export({ format: "pem", type: "spki" }))),
  ).toBe(true);
  expect(new Date(parsed.validFrom).getTime()).toBeLessThan(Date.now());
  expect(new Date(parsed.validTo).getFullYear()).toBe(2125);
  expect(parsed.ca).toBe(false);
});

test("what is split off, given back or dead stays in its notification", async () => {
  const topic = await broker.newTopic();
  const deadLetters = await broker.newQueue();
  const redrive = { deadLetterQueue: deadLetters, maxReceiveCount: 1 };
  const queue = await broker.newQueue({ redrive });
  await broker.engine.subscribe(ACCOUNT, topic, queue, { rawDelivery: false });
  await client.publish(topic, ["1", "2", "3", "4", "5", "6", "7", "8"]);
  await broker.untilFannedOut();
  const first = await client.receive(queue, { maxMessages: 3 });
  await client.hide(queue, first.slice(1, 2), 0);
  const rest = await client.drain(queue);
  const dead = await client.drain(deadLetters);
  expect(dead).toHaveLength(1);
  for (const { body } of [...first, ...rest, ...dead])
    expect(JSON.parse(body)).toMatchObject({ Type: "Notification" });
});

test("a peek shows what a receive would hand out, and searches what was published", async () => {
  const { topic, queue } = await enveloped();
  await client.publish(topic, ['"quoted"', "other"]);
  await broker.untilFannedOut();
  const { messages } = await broker.engine.peek(ACCOUNT, queue, { search: '"quoted"' });
  const received = await client.receive(queue, { maxMessages: 10 });
  expect(messages.map((each) => each.body)).toEqual(bodiesOf(received).slice(0, 1));
});

test("switched to raw, a subscription gets messages as they are; what was fanned out before stays as it was", async () => {
  const { topic, queue, id } = await enveloped();
  await client.publish(topic, ["before"]);
  await broker.untilFannedOut();
  await broker.engine.subscriptions.update(ACCOUNT, id, { rawDelivery: true });
  await client.publish(topic, ["after"]);
  await broker.untilFannedOut();
  const [before, after] = bodiesOf(await client.drain(queue));
  expect(JSON.parse(before ?? "")).toMatchObject({ Message: "before" });
  expect(after).toBe("after");
});

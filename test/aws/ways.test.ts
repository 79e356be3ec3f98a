import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";

import { GetQueueAttributesCommand, SendMessageCommand } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { ACCOUNT, Sluice } from "./sluice.ts";

let sluice: Sluice;
let path: string;
beforeAll(async () => {
  sluice = await Sluice.start();
  path = `/${ACCOUNT}/ways`;
  await sluice.query({ Action: "CreateQueue", QueueName: "ways" });
  const send = new SendMessageCommand({ QueueUrl: sluice.queueUrl("ways"), MessageBody: 'a "b"' });
  await sluice.sqs.send(send);
});
afterAll(() => sluice[Symbol.asyncDispose]());

const JSON_PROTOCOL = "application/x-amz-json-1.0";
const FORM = "application/x-www-form-urlencoded";
const BOTH = [JSON_PROTOCOL, FORM];

/** What is the same in each answer to a call: its number and the time are not. */
async function answer(headers: Record<string, string | string[]>, body: string, at = "/") {
  const call = request(sluice.url + at, { method: "POST", headers });
  call.end(body);
  const [response] = (await once(call, "response")) as [IncomingMessage];
  const { date: _, "x-amzn-requestid": id = "", ...others } = response.headers;
  const said = await text(response);
  return {
    status: response.statusCode,
    headers: others,
    body: said.replaceAll(String(id), "the id"),
  };
}

const calls: [string, Record<string, string | string[]>, string, string?][] = [
  ["a call in JSON", json("GetQueueUrl"), '{"QueueName":"ways"}'],
  ["a call that fails in JSON", json("GetQueueUrl"), '{"QueueName":"none"}'],
  ["a receive in JSON", json("ReceiveMessage"), receive()],
  ["no JSON", json("SendMessage"), "{"],
  ["no action", json("Nothing"), "{}"],
  ["a Query call", { "content-type": FORM }, "Action=GetQueueUrl&QueueName=ways"],
  ["a Query call that fails", { "content-type": FORM }, "Action=GetQueueUrl"],
  [
    "a Query call on the path of a queue",
    { "content-type": FORM },
    "Action=ListQueueTags",
    "queue",
  ],
  ["a call of two content types", { ...json("ListQueues"), "content-type": BOTH }, "{}"],
  ["a call of two content types, turned round", { "content-type": BOTH.toReversed() }, "{}"],
  ["a call of SNS", { "content-type": FORM }, "Action=ListTopics&Version=2010-03-31"],
];

function json(action: string): Record<string, string> {
  return { "content-type": JSON_PROTOCOL, "x-amz-target": `AmazonSQS.${action}` };
}

function receive(): string {
  return JSON.stringify({ QueueUrl: `http://any/${ACCOUNT}/ways`, VisibilityTimeout: 0 });
}

describe("a call of which the length is known, and goes past Hono, is answered as one that goes by it:", () => {
  test.each(calls)("%s", async (_, headers, body, at) => {
    const where = at === "queue" ? path : "/";
    const length = { "content-length": String(Buffer.byteLength(body)) };
    const direct = await answer({ ...headers, ...length }, body, where);
    const byHono = await answer({ ...headers, "transfer-encoding": "chunked" }, body, where);
    const handle = /"ReceiptHandle":"[^"]*"/g;
    expect({ ...direct, body: direct.body.replace(handle, "") }).toEqual({
      ...byHono,
      body: byHono.body.replace(handle, ""),
    });
  });
});

test.each<Record<string, string>>([{ "content-length": "2" }, { "transfer-encoding": "chunked" }])(
  "a host that is none is the client's mistake, by %j",
  async (length) => {
    const headers = { ...json("ListQueues"), ...length, host: "999.999.999.999" };
    expect((await answer(headers, "{}")).status).toBe(400);
  },
);

test("a client that hangs up while its answer is on its way gives the messages back", async () => {
  await sluice.query({ Action: "CreateQueue", QueueName: "hung-up" });
  const QueueUrl = sluice.queueUrl("hung-up");
  // Twice as long as JSON: ten of them are more than the network takes in unread.
  const MessageBody = '"'.repeat(1024 * 1024);
  for (let sent = 0; sent < 10; sent += 1)
    await sluice.sqs.send(new SendMessageCommand({ QueueUrl, MessageBody }));
  const body = JSON.stringify({ QueueUrl, MaxNumberOfMessages: 10, VisibilityTimeout: 43_200 });
  const headers = { ...json("ReceiveMessage"), "content-length": String(body.length) };
  const call = request(sluice.url, { method: "POST", headers });
  call.end(body);
  const [response] = (await once(call, "response")) as [IncomingMessage];
  response.destroy();
  const counts = new GetQueueAttributesCommand({
    QueueUrl,
    AttributeNames: ["ApproximateNumberOfMessages"],
  });
  await vi.waitFor(async () => {
    const { Attributes } = await sluice.sqs.send(counts);
    expect(Attributes).toEqual({ ApproximateNumberOfMessages: "10" });
  }, 15_000);
});

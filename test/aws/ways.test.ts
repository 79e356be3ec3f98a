import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";

import { GetQueueAttributesCommand, SendMessageCommand } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { ACCOUNT, Sluice } from "./sluice.ts";

let sluice: Sluice;
const path = `/${ACCOUNT}/ways`;
const PUBLIC_URL = "https://queues.localhost:8443";
beforeAll(async () => {
  sluice = await Sluice.start({ publicUrl: PUBLIC_URL });
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
  const { date: _, "x-amzn-requestid": id = "none", ...others } = response.headers;
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

describe("the URL of a queue begins with", () => {
  const urlOf = async (headers: Record<string, string>) => {
    const body = '{"QueueName":"ways"}';
    const call = { ...json("GetQueueUrl"), ...headers };
    const length = { "content-length": String(body.length) };
    const direct = await answer({ ...call, ...length }, body);
    const byHono = await answer({ ...call, "transfer-encoding": "chunked" }, body);
    expect(direct.body).toBe(byHono.body);
    return (JSON.parse(direct.body) as { QueueUrl: string }).QueueUrl;
  };

  test.each([
    ["what the client called", "http://localhost:4566", { host: "localhost:4566" }],
    [
      "https where a proxy before it says so",
      "https://sluice.localhost",
      { host: "sluice.localhost", "x-forwarded-proto": "https, http" },
    ],
    ["the public URL where its host was called", PUBLIC_URL, { host: "queues.localhost:8443" }],
  ])("%s", async (_, origin, headers) => {
    expect(await urlOf(headers)).toBe(`${origin}${path}`);
  });
});

describe("where nobody is asked for a key", () => {
  const purge = `Action=PurgeQueue&QueueUrl=http%3A%2F%2Fany${path.replaceAll("/", "%2F")}`;
  const foreign: [string, Record<string, string>][] = [
    ["a page of another site", { "sec-fetch-site": "cross-site" }],
    ["a page of another port", { "sec-fetch-site": "same-site" }],
    ["a page of an older browser", { origin: "https://evil.example" }],
    ["a page of no site", { origin: "null" }],
  ];
  test.each(foreign)("%s calls nothing", async (_, headers) => {
    const form = { ...headers, "content-type": FORM };
    for (const refused of [
      await answer({ ...form, "content-length": String(purge.length) }, purge),
      await answer({ ...form, "transfer-encoding": "chunked" }, purge),
      await answer({ ...headers, "content-length": "0" }, "", "/v1/queues/ways/purge"),
      await answer({ ...headers, "content-length": "0" }, "", "/%761/queues/ways/purge"),
      await answer({ ...headers, ...json("PurgeQueue"), "content-length": "2" }, "{}"),
    ]) {
      expect(refused.status).toBe(400);
      expect(refused.body).toContain("other sites");
    }
  });

  test.each<Record<string, string>>([
    { "sec-fetch-site": "same-origin", origin: "https://before-a-proxy.example" },
    { "sec-fetch-site": "none" },
    { origin: "https://queues.localhost:8443" },
    {},
  ])("a page of its own does: %j", async (headers) => {
    const body = "Action=ListQueues";
    const length = { "content-length": String(body.length) };
    expect((await answer({ ...headers, "content-type": FORM, ...length }, body)).status).toBe(200);
  });

  test("nothing is changed by GET, as images and links are called", async () => {
    expect((await fetch(`${sluice.url}/?${purge}`)).status).toBe(403);
    expect((await fetch(`${sluice.url}/?Action=ListQueues`)).status).toBe(200);
    // The link in a notification: nobody guesses it.
    const topic = "arn:aws:sns:us-east-1:000000000000:none";
    const link = `/?Action=Unsubscribe&SubscriptionArn=${topic}:${randomUUID()}`;
    const clicked = { headers: { "sec-fetch-site": "cross-site" } };
    expect((await fetch(sluice.url + link, clicked)).status).toBe(200);
  });

  test("a receive is refused with more than it needs, all of which would be kept for as long as it waits", async () => {
    const form = "Action=ReceiveMessage&QueueUrl=ways&WaitTimeSeconds=1&x=";
    const ask = async (length: number) => [
      await answer(json("ReceiveMessage"), receive().padEnd(length)),
      await answer({ "content-type": FORM }, form.padEnd(length, "x")),
    ];
    const refused = await ask(64 * 1024 + 1);
    expect(refused.map(({ status }) => status)).toEqual([413, 413]);
    for (const { body } of refused) expect(body).toContain("RequestEntityTooLarge");
    for (const { status } of await ask(64 * 1024)) expect(status).toBe(200);
  });

  test("by GET a client changes what it signs, in a header that no page can have sent", async () => {
    const create = (authorization: string, headers: Record<string, string> = {}) =>
      fetch(`${sluice.url}/?Action=CreateQueue&QueueName=by-get`, {
        headers: { ...headers, authorization },
      });
    const signed = "AWS4-HMAC-SHA256 Credential=any, SignedHeaders=host, Signature=any";
    expect((await create(signed)).status).toBe(200);
    expect((await create("Basic YW55OmFueQ==")).status).toBe(403);
    expect((await create(signed, { "sec-fetch-site": "cross-site" })).status).toBe(400);
  });

  test.each(["/?Action=ListQueues", "/v1/queues", "/v%31/queues", `${path}?Action=ListQueueTags`])(
    "%s is not to be had by a name of somebody else's",
    async (at) => {
      expect(await statusBy("evil.example:4566", at)).toMatch(/^400 .*SLUICE_PUBLIC_URL/);
    },
  );

  test.each([
    "localhost.",
    "[::1]",
    "sluice",
    "nas.lan:80",
    "queues.localhost:8443",
    "sqs.us-east-1.localhost.localstack.cloud",
  ])("it may be called %s", async (host) => {
    expect(await statusBy(host, "/v1/queues")).toMatch(/^200/);
  });

  test("health and the reference are there by any name", async () => {
    for (const at of ["/healthz", "/docs"])
      expect(await statusBy("any.example", at)).toMatch(/^200/);
  });
});

async function statusBy(host: string, at: string): Promise<string> {
  const made = request(sluice.url + at, { headers: { host } });
  made.end();
  const [response] = (await once(made, "response")) as [IncomingMessage];
  return `${response.statusCode} ${(await text(response)).replaceAll("\n", " ")}`;
}

test("escaped bytes that are no text are refused", async () => {
  const send = (bytes: string) =>
    answer(
      { "content-type": FORM },
      `Action=SendMessage&QueueUrl=http%3A%2F%2Fany${path.replaceAll("/", "%2F")}&MessageBody=${bytes}`,
    );
  expect((await send("%FF%FE")).status).toBe(400);
  expect((await send("%EF%BF%BD")).status).toBe(200);
  expect((await send("%EF%BF%BD+100%")).status).toBe(200);
});

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
  }, 30_000);
});

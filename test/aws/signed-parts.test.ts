import {
  CreateQueueCommand,
  GetQueueUrlCommand,
  ListQueuesCommand,
  ReceiveMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { CreateTopicCommand, GetTopicAttributesCommand, SNSClient } from "@aws-sdk/client-sns";
import type { AccessKey } from "@sluice/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { send, signRequest, type RequestToSign, type SignedRequest } from "./signed-request.ts";
import { Sluice } from "./sluice.ts";

// What is signed here is signed by aws4, which is not what checks it.

const ACCOUNT = "000000000001";
const MISMATCH = "403 SignatureDoesNotMatch";

let sluice: Sluice;
let key: AccessKey;
let sqs: SQSClient;
let sns: SNSClient;
beforeAll(async () => {
  sluice = await Sluice.start({ authentication: true });
  key = await sluice.keys!.create(ACCOUNT);
  const credentials = { accessKeyId: key.id, secretAccessKey: key.secret };
  sqs = new SQSClient(sluice.clientOptions(credentials));
  sns = new SNSClient(sluice.clientOptions(credentials));
  await sqs.send(new CreateQueueCommand({ QueueName: "orders" }));
  await sns.send(new CreateTopicCommand({ Name: "orders" }));
});
afterAll(async () => {
  sqs.destroy();
  sns.destroy();
  await sluice[Symbol.asyncDispose]();
});

const signed = (options: RequestToSign) => signRequest(sluice.url, key, options);
const outcomeOf = (request: SignedRequest) => send(sluice.url, request);
const queueUrl = () => encodeURIComponent(`${sluice.url}/${ACCOUNT}/orders`);
const TOPIC = `arn:aws:sns:us-east-1:${ACCOUNT}:orders`;

/** Throws when either is gone, or anything else is there. */
async function expectNothingDone(): Promise<void> {
  await sqs.send(new GetQueueUrlCommand({ QueueName: "orders" }));
  await sns.send(new GetTopicAttributesCommand({ TopicArn: TOPIC }));
  expect((await sqs.send(new ListQueuesCommand({}))).QueueUrls).toHaveLength(1);
}

const listQueues = "Action=ListQueues&Version=2012-11-05";
const listTopics = "Action=ListTopics&Version=2010-03-31";
const json = {
  "content-type": "application/x-amz-json-1.0",
  "x-amz-target": "AmazonSQS.ListQueues",
};
const forms: Record<string, RequestToSign> = {
  "SQS, in the URL": {
    method: "GET",
    body: "",
    path: `/?${listQueues}&X-Amz-Expires=60`,
    signQuery: true,
  },
  "SQS, in a header, by GET": { method: "GET", body: "", path: `/?${listQueues}` },
  "SQS, in a header, by POST": { body: listQueues },
  "SQS, in a header, in JSON": { body: "{}", headers: json },
  "SNS, in the URL": {
    service: "sns",
    method: "GET",
    body: "",
    path: `/?${listTopics}&X-Amz-Expires=60`,
    signQuery: true,
  },
  "SNS, in a header, by GET": { service: "sns", method: "GET", body: "", path: `/?${listTopics}` },
  "SNS, in a header, by POST": { service: "sns", body: listTopics },
};

/** Ways to write more into the target of a request. */
const additions: Record<string, (target: string, harm: string) => string> = {
  "behind an ampersand": (target, harm) => `${withQuery(target)}&${harm}`,
  "behind a second question mark": (target, harm) => `${withQuery(target)}?&${harm}`,
  "behind a second question mark, escaped": (target, harm) => `${withQuery(target)}%3F&${harm}`,
  "behind a thousand parts that are empty": (target, harm) =>
    `${withQuery(target)}${"&".repeat(1_000)}&${harm}`,
  "before what is signed": (target, harm) => withQuery(target).replace("?", `?${harm}&`),
  "by escaped names": (target, harm) =>
    `${withQuery(target)}&${harm.replace("Action", "%41ction")}`,
  "behind a semicolon": (target, harm) => `${withQuery(target)};${harm}`,
  "in a fragment": (target, harm) => `${withQuery(target)}#&${harm}`,
  "as a signature": (target, harm) => `${withQuery(target)}&X-Amz-Signature=0&${harm}`,
};

function withQuery(target: string): string {
  return target.includes("?") ? target : `${target}?`;
}

describe.each(Object.entries(forms))("of a request signed for %s", (_, form) => {
  const harms = () =>
    form.service === "sns"
      ? [`Action=DeleteTopic&TopicArn=${TOPIC}`, "Action=CreateTopic&Name=smuggled"]
      : [`Action=DeleteQueue&QueueUrl=${queueUrl()}`, "Action=CreateQueue&QueueName=smuggled"];

  test("nothing is refused as it is", async () => {
    expect(await outcomeOf(signed(form))).toBe("200");
  });

  test.each(Object.entries(additions))("parameters %s are refused", async (__, add) => {
    for (const harm of harms()) {
      const request = signed(form);
      request.path = add(request.path, harm);
      expect(await outcomeOf(request)).toMatch(
        /^(403 SignatureDoesNotMatch|400 IncompleteSignature)$/,
      );
    }
    await expectNothingDone();
  });
});

describe("what is signed", () => {
  test.each([
    ["behind a second question mark", "??"],
    ["behind a thousand parts that are empty", `?${"&".repeat(1_000)}&`],
  ])("of a send is all that it stores: an attribute %s is refused", async (_, before) => {
    const request = signed({
      path: `/${ACCOUNT}/orders`,
      body: "Action=SendMessage&MessageBody=x",
    });
    request.path +=
      `${before}MessageAttribute.1.Name=admin&MessageAttribute.1.Value.DataType=String` +
      "&MessageAttribute.1.Value.StringValue=yes";
    expect(await outcomeOf(request)).toBe(MISMATCH);
    const QueueUrl = `${sluice.url}/${ACCOUNT}/orders`;
    expect((await sqs.send(new ReceiveMessageCommand({ QueueUrl }))).Messages).toBeUndefined();
  });

  test("has no parameter of a URL twice: their order is not signed, and the last would count", async () => {
    for (const signQuery of [false, true]) {
      const request = signed({
        method: "GET",
        body: "",
        path: `/?Action=CreateQueue&QueueName=a&QueueName=b&X-Amz-Expires=60`,
        signQuery,
      });
      expect(await outcomeOf(request)).toBe(MISMATCH);
      request.path = request.path.replace("Name=a&QueueName=b", "Name=b&QueueName=a");
      expect(await outcomeOf(request)).toBe(MISMATCH);
    }
    await expectNothingDone();
  });

  test("in JSON is not read as a form, whatever a content type says that is not signed", async () => {
    const body = JSON.stringify({
      QueueUrl: `${sluice.url}/${ACCOUNT}/orders`,
      MessageBody: `x&Action=DeleteQueue&QueueUrl=${queueUrl()}&y=`,
    });
    const request = signed({
      body,
      headers: { ...json, "x-amz-target": "AmazonSQS.SendMessage" },
      unsigned: ["content-type"],
    });
    for (const type of ["application/x-www-form-urlencoded", "text/plain", ""]) {
      const changed = { ...request, headers: { ...request.headers, "content-type": type } };
      expect(await outcomeOf(changed)).toBe(MISMATCH);
    }
    await expectNothingDone();
  });

  test("as a form is not read as JSON, whatever a content type says that is not signed", async () => {
    const request = signed({ body: "{}", unsigned: ["content-type"] });
    const changed = { ...request.headers, ...json, "x-amz-target": "AmazonSQS.ListQueues" };
    expect(await outcomeOf({ ...request, headers: changed })).toBe(MISMATCH);
  });

  test("has one content type where it has one at all", async () => {
    const request = signed({ body: "{}", headers: json });
    const types = ["application/x-amz-json-1.0", "application/x-www-form-urlencoded"];
    for (const type of [types, types.toReversed()]) {
      const headers = { ...request.headers, "content-type": type };
      expect(await outcomeOf({ ...request, headers })).toBe(MISMATCH);
    }
  });

  test("is for one action: another X-Amz-Target is refused, also where it is not signed", async () => {
    const purge = "AmazonSQS.PurgeQueue";
    const other = signed({ body: "{}", headers: json });
    other.headers["x-amz-target"] = purge;
    expect(await outcomeOf(other)).toBe(MISMATCH);
    const added = signed({ body: "{}", headers: { "content-type": json["content-type"] } });
    added.headers["x-amz-target"] = purge;
    expect(await outcomeOf(added)).toBe(MISMATCH);
    const inUrl = signed({ ...forms["SQS, in the URL"], method: "POST", body: "{}" });
    const headers = { ...inUrl.headers, ...json, "x-amz-target": purge };
    expect(await outcomeOf({ ...inUrl, headers })).toBe(MISMATCH);
  });

  test("is for one host, and is sent by its path", async () => {
    for (const form of Object.values(forms)) {
      const other = signed(form);
      const headers = { ...other.headers, Host: "sluice.example" };
      expect(await outcomeOf({ ...other, headers })).toBe(MISMATCH);
      const absolute = signed(form);
      absolute.path = `http://sluice.example${absolute.path}`;
      expect(await outcomeOf(absolute)).toBe(MISMATCH);
    }
  });

  test("is for one path, written one way", async () => {
    for (const path of [
      `/x/../${ACCOUNT}/orders`,
      `/./${ACCOUNT}/orders`,
      `/${ACCOUNT}/%6frders`,
      `/${ACCOUNT}//orders`,
      `//${ACCOUNT}/orders`,
      `/${ACCOUNT}/orders/.`,
      `/${ACCOUNT}/x/%2e%2e/orders`,
    ]) {
      const request = signed({ path: `/${ACCOUNT}/orders`, body: "Action=PurgeQueue" });
      expect(await outcomeOf({ ...request, path }), path).not.toBe("200");
    }
  });

  test("may be written in several ways where they say the same", async () => {
    const create = (QueueName: string) =>
      signed({
        method: "GET",
        body: "",
        path: `/?Action=ListQueues&QueueNamePrefix=${QueueName}`,
      });
    for (const [was, is] of [
      ["a%20b", "a+b"],
      ["a-b", "a%2Db"],
      ["a%2Ab", "a*b"],
    ] as const) {
      const request = create(was);
      expect(request.path).toContain(was);
      expect(await outcomeOf({ ...request, path: request.path.replace(was, is) })).toBe("200");
    }
    const plus = create("a%2Bb");
    expect(await outcomeOf({ ...plus, path: plus.path.replace("%2B", "+") })).toBe(MISMATCH);
  });
});

test("a URL that a stranger signed is refused, whatever is in it", async () => {
  const stranger = { ...key, id: "SLUICEUNKNOWN0000000", secret: "x".repeat(40) };
  for (const by of [stranger, { ...stranger, id: key.id }]) {
    const request = signRequest(sluice.url, by, forms["SQS, in the URL"]);
    const outcomeWith = (part: string) =>
      outcomeOf({ ...request, path: `${request.path}&${part}` });
    for (const part of ["a=%", "a=%u1234", "__proto__=x", "=x", "&&="])
      expect(await outcomeWith(part)).toBe(by === stranger ? "403 InvalidClientTokenId" : MISMATCH);
    for (const noText of ['a=%FF"', "%FF=%ED%A0%80"])
      expect(await outcomeWith(noText)).toBe("400 MalformedInput");
  }
});

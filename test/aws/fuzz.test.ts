import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";

import { ACCOUNT, REGION, Sluice } from "./sluice.ts";

let sluice: Sluice;
beforeAll(async () => {
  sluice = await Sluice.start();
  await sluice.query({ Action: "CreateQueue", QueueName: "billing" });
  await sluice.query({ Action: "CreateTopic", Name: "orders" });
});
afterAll(() => sluice[Symbol.asyncDispose]());

const RUNS = 400;
const SQS_ACTIONS = [
  "AddPermission",
  "CancelMessageMoveTask",
  "ChangeMessageVisibility",
  "ChangeMessageVisibilityBatch",
  "CreateQueue",
  "DeleteMessage",
  "DeleteMessageBatch",
  "GetQueueAttributes",
  "GetQueueUrl",
  "ListDeadLetterSourceQueues",
  "ListMessageMoveTasks",
  "ListQueueTags",
  "ListQueues",
  "PurgeQueue",
  "ReceiveMessage",
  "RemovePermission",
  "SendMessage",
  "SendMessageBatch",
  "SetQueueAttributes",
  "StartMessageMoveTask",
  "TagQueue",
  "UntagQueue",
];
const SNS_ACTIONS = [
  "AddPermission",
  "ConfirmSubscription",
  "CreateTopic",
  "GetDataProtectionPolicy",
  "GetSubscriptionAttributes",
  "GetTopicAttributes",
  "ListSubscriptions",
  "ListSubscriptionsByTopic",
  "ListTagsForResource",
  "ListTopics",
  "Publish",
  "PublishBatch",
  "PutDataProtectionPolicy",
  "RemovePermission",
  "SetSubscriptionAttributes",
  "SetTopicAttributes",
  "Subscribe",
  "TagResource",
  "Unsubscribe",
  "UntagResource",
];
const MEMBERS = [
  "QueueUrl", "QueueName", "Attributes", "tags", "Tags", "TagKeys", "Entries", "MessageBody", "DelaySeconds",
  "MessageAttributes", "MessageSystemAttributes", "MessageGroupId", "MessageDeduplicationId", "ReceiptHandle",
  "VisibilityTimeout", "AttributeNames", "MessageSystemAttributeNames", "MessageAttributeNames", "MaxNumberOfMessages",
  "ReceiveRequestAttemptId", "SourceArn", "DestinationArn", "MaxNumberOfMessagesPerSecond", "TaskHandle", "MaxResults",
  "NextToken", "QueueNamePrefix", "Label", "AWSAccountIds", "Actions", "QueueOwnerAWSAccountId",
]; // prettier-ignore
const NODES = [
  "TopicArn", "TargetArn", "Name", "Message", "Subject", "MessageStructure", "MessageAttributes", "entry", "member",
  "Attribute", "MessageAttribute", "Value", "Key", "key", "value", "Name", "DataType", "StringValue", "BinaryValue", "Tags",
  "Attributes", "Protocol", "Endpoint", "SubscriptionArn", "AttributeName", "AttributeValue", "ResourceArn", "TagKeys",
  "PublishBatchRequestEntries", "SendMessageBatchRequestEntry", "Id", "MessageBody", "QueueUrl", "QueueName", "NextToken",
  "1", "2", "0", "-1", "99999999999", "__proto__", "constructor", "prototype", "", "DelaySeconds", "Version",
]; // prettier-ignore

/** What is nearly right, and what is not at all. */
const text = fc.oneof(
  fc.constantFrom(
    `/${ACCOUNT}/billing`,
    `http://x/${ACCOUNT}/billing`,
    `arn:aws:sqs:${REGION}:${ACCOUNT}:billing`,
    `arn:aws:sns:${REGION}:${ACCOUNT}:orders`,
    `arn:aws:sns:${REGION}:${ACCOUNT}:orders:00000000-0000-0000-0000-000000000000`,
    "All",
    "String",
    "Binary",
    "Number.x",
    "RedrivePolicy",
    "FilterPolicy",
    "Policy",
    "VisibilityTimeout",
    "sqs",
    "json",
    '{"default":1}',
    '{"deadLetterTargetArn":{}}',
    "\u0000",
    "\uD800",
    "\uFFFF",
    "a\r\nb",
    "__proto__",
    "constructor",
    "1e999",
    "NaN",
    "-0",
  ),
  fc.string(),
  fc.string({ unit: "binary" }),
);

const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    text,
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("value"), { maxLength: 12 }),
    fc.dictionary(
      fc.oneof(
        fc.constantFrom(
          "Id",
          "MessageBody",
          "ReceiptHandle",
          "DataType",
          "StringValue",
          "BinaryValue",
          "VisibilityTimeout",
          "Policy",
          "RedrivePolicy",
        ),
        text,
      ),
      tie("value"),
      { maxKeys: 4 },
    ),
  ),
})).value;

const jsonCall = fc.tuple(
  fc.oneof(fc.constantFrom(...SQS_ACTIONS), fc.string()),
  fc.dictionary(fc.constantFrom(...MEMBERS), json, { maxKeys: 6 }),
);

const parameter = fc.tuple(
  fc
    .array(fc.oneof(fc.constantFrom(...NODES), text), { minLength: 1, maxLength: 6 })
    .map((steps) => steps.join(".")),
  text,
);
const formCall = fc.tuple(
  fc.oneof(fc.constantFrom(...SQS_ACTIONS, ...SNS_ACTIONS), fc.string()),
  fc.constantFrom("2012-11-05", "2010-03-31", "x"),
  fc.array(parameter, { maxLength: 12 }),
);

async function statusOf(
  body: string | Uint8Array,
  headers: Record<string, string>,
  path = "/",
): Promise<number> {
  const response = await fetch(sluice.url + path, { method: "POST", headers, body });
  const answer = await response.text();
  if (headers["content-type"]?.includes("json")) JSON.parse(answer);
  // oxlint-disable-next-line no-control-regex -- what XML may have of them
  else expect(answer).not.toMatch(/[^\x09\x0a\x0d\x20-\ufffd\u{10000}-\u{10ffff}]/u);
  return response.status;
}

test("whatever comes in the JSON protocol, the answer is a refusal or a success of that protocol", async () => {
  await fc.assert(
    fc.asyncProperty(jsonCall, async ([action, input]) => {
      const target = `AmazonSQS.${action.replaceAll(/[^\x21-\x7e]/g, "?")}`;
      const body = JSON.stringify({
        QueueUrl: `/${ACCOUNT}/billing`,
        WaitTimeSeconds: 0,
        ...input,
      });
      const headers = { "content-type": "application/x-amz-json-1.0", "x-amz-target": target };
      expect(await statusOf(body, headers)).toBeLessThan(500);
    }),
    { numRuns: RUNS },
  );
}, 120_000);

test("whatever comes in the Query protocol, the answer is a refusal or a success of that protocol", async () => {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  await fc.assert(
    fc.asyncProperty(formCall, fc.boolean(), async ([Action, Version, parameters], onQueue) => {
      const form = new URLSearchParams([["Action", Action], ["Version", Version], ...parameters]);
      const path = onQueue ? `/${ACCOUNT}/billing` : "/";
      expect(await statusOf(form.toString(), headers, path)).toBeLessThan(500);
    }),
    { numRuns: RUNS },
  );
}, 120_000);

test("bytes that are neither do no harm either", async () => {
  const types = ["application/x-amz-json-1.0", "application/x-www-form-urlencoded", "text/plain"];
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom(...types),
      async (bytes, type) => {
        const headers = { "content-type": type, "x-amz-target": "AmazonSQS.SendMessage" };
        const status = await statusOf(bytes, headers);
        expect(status).toBeGreaterThanOrEqual(400);
        expect(status).toBeLessThan(500);
      },
    ),
    { numRuns: RUNS / 2 },
  );
}, 120_000);

test.each([
  ["deep lists", `{"Entries":${"[".repeat(100_000)}`],
  ["deep parameters", `Action=SendMessage&${"a.".repeat(100_000)}=1`],
  ["masses of parameters", `Action=SendMessage&${"a=1&".repeat(1_000_000)}`],
  ["masses of percent signs", `Action=${"%".repeat(1_000_000)}`],
  ["a name of a megabyte", `${"x".repeat(1_000_000)}=1`],
])("%s are refused in no time", async (_, body) => {
  const isJson = body.startsWith("{");
  const type = isJson ? "application/x-amz-json-1.0" : "application/x-www-form-urlencoded";
  const headers = { "content-type": type, "x-amz-target": "AmazonSQS.SendMessageBatch" };
  const before = process.cpuUsage();
  expect(await statusOf(body, headers)).toBe(400);
  // Of this process, which the server is a part of: of the time of day others take what they like.
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1_000).toBeLessThan(2_000);
});

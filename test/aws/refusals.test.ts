import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { sqsQuery } from "./as-query.ts";
import { ACCOUNT, REGION, Sluice, textIn } from "./sluice.ts";

let sluice: Sluice;
let url: string;
const topicArn = `arn:aws:sns:${REGION}:${ACCOUNT}:orders`;
const queueArn = `arn:aws:sqs:${REGION}:${ACCOUNT}:billing`;
beforeAll(async () => {
  sluice = await Sluice.start();
  url = sluice.queueUrl("billing");
  await json("CreateQueue", { QueueName: "billing" });
  await json("CreateQueue", { QueueName: "dead-letters" });
  await sluice.query({ Action: "CreateTopic", Name: "orders" });
});
afterAll(() => sluice[Symbol.asyncDispose]());

interface JsonAnswer {
  status: number;
  body: { __type?: string; message?: string };
  queryError: string | null;
}

async function json(action: string, body: unknown): Promise<JsonAnswer> {
  const response = await fetch(sluice.url, {
    method: "POST",
    headers: {
      "content-type": "application/x-amz-json-1.0",
      "x-amz-target": `AmazonSQS.${action}`,
    },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return {
    status: response.status,
    body: (await response.json()) as JsonAnswer["body"],
    queryError: response.headers.get("x-amzn-query-error"),
  };
}

const LONG = "x".repeat(129);
const entry = (Id: string) => ({ Id, MessageBody: "x" });
const elevenEntries = Array.from({ length: 11 }, (_, index) => entry(`id-${index}`));

/** A policy of so many bytes. */
function policyOf(bytes: number): string {
  return JSON.stringify({ Id: "x".repeat(bytes - '{"Id":""}'.length) });
}

/** Action, input (in a queue that is there, where it names none), code in the Query protocol, part of the message. */
const sqsRefusals: [string, Record<string, unknown>, string, string][] = [
  ["Nonsense", {}, "InvalidAction", "The action Nonsense is not valid for this endpoint."],
  ["CreateQueue", {}, "MissingParameter", "The request must contain the parameter QueueName."],
  [
    "CreateQueue",
    { QueueName: "no spaces" },
    "InvalidParameterValue",
    "alphanumeric characters, hyphens, or underscores",
  ],
  ["CreateQueue", { QueueName: "x".repeat(81) }, "InvalidParameterValue", "1 to 80 in length"],
  [
    "CreateQueue",
    { QueueName: "q", Attributes: { Nonsense: "1" } },
    "InvalidAttributeName",
    "Unknown Attribute Nonsense.",
  ],
  [
    "CreateQueue",
    { QueueName: "q", Attributes: { QueueArn: queueArn } },
    "InvalidAttributeName",
    "QueueArn",
  ],
  [
    "CreateQueue",
    { QueueName: "q", Attributes: { VisibilityTimeout: "43201" } },
    "InvalidAttributeValue",
    "Invalid value for the parameter VisibilityTimeout.",
  ],
  [
    "CreateQueue",
    { QueueName: "q", Attributes: { DelaySeconds: "-1" } },
    "InvalidAttributeValue",
    "DelaySeconds",
  ],
  [
    "CreateQueue",
    { QueueName: "q", Attributes: { MessageRetentionPeriod: "59" } },
    "InvalidAttributeValue",
    "MessageRetentionPeriod",
  ],
  [
    "CreateQueue",
    { QueueName: "q", Attributes: { MaximumMessageSize: "1023" } },
    "InvalidAttributeValue",
    "MaximumMessageSize",
  ],
  [
    "CreateQueue",
    { QueueName: "q", Attributes: { ReceiveMessageWaitTimeSeconds: "21" } },
    "InvalidAttributeValue",
    "ReceiveMessageWaitTimeSeconds",
  ],
  [
    "CreateQueue",
    { QueueName: "q", Attributes: { Policy: "no json" } },
    "InvalidAttributeValue",
    "Policy",
  ],
  [
    "CreateQueue",
    { QueueName: "q", Attributes: { FifoQueue: "true" } },
    "InvalidParameterValue",
    ".fifo",
  ],
  ["CreateQueue", { QueueName: "q.fifo" }, "InvalidParameterValue", "QueueName"],
  [
    "CreateQueue",
    { QueueName: `${"x".repeat(76)}.fifo`, Attributes: { FifoQueue: "true" } },
    "InvalidParameterValue",
    "1 to 80 in length",
  ],
  ...[
    ["DelaySeconds", "901"],
    ["MessageRetentionPeriod", "1209601"],
    ["MaximumMessageSize", "1048577"],
    ["KmsDataKeyReusePeriodSeconds", "59"],
    ["KmsDataKeyReusePeriodSeconds", "86401"],
  ].map(([name, value]): (typeof sqsRefusals)[number] => [
    "SetQueueAttributes",
    { Attributes: { [name!]: value } },
    "InvalidAttributeValue",
    name!,
  ]),
  [
    "CreateQueue",
    { QueueName: "q", Attributes: { RedrivePolicy: "{" } },
    "InvalidParameterValue",
    "not a valid JSON map",
  ],
  [
    "CreateQueue",
    { QueueName: "q", Attributes: { RedrivePolicy: '{"maxReceiveCount":1}' } },
    "InvalidParameterValue",
    "deadLetterTargetArn",
  ],
  [
    "CreateQueue",
    {
      QueueName: "q",
      Attributes: {
        RedrivePolicy: JSON.stringify({ maxReceiveCount: 1_001, deadLetterTargetArn: queueArn }),
      },
    },
    "InvalidParameterValue",
    "between 1 and 1000",
  ],
  [
    "CreateQueue",
    {
      QueueName: "q",
      Attributes: {
        RedrivePolicy: JSON.stringify({
          maxReceiveCount: 1,
          deadLetterTargetArn: `${queueArn}-absent`,
        }),
      },
    },
    "InvalidParameterValue",
    "RedrivePolicy",
  ],
  ...[0, "0x1", " 5", "1e2", "+1", "1.0", "", [5], true, 1.5, null].map(
    (maxReceiveCount): (typeof sqsRefusals)[number] => [
      "SetQueueAttributes",
      {
        Attributes: {
          RedrivePolicy: JSON.stringify({
            maxReceiveCount,
            deadLetterTargetArn: queueArn.replace("billing", "dead-letters"),
          }),
        },
      },
      "InvalidParameterValue",
      "between 1 and 1000",
    ],
  ),
  [
    "SetQueueAttributes",
    { Attributes: { Policy: policyOf(65_537) } },
    "InvalidAttributeValue",
    "Policy",
  ],
  ...["a\u0000", "a\nb", "x".repeat(2_049)].map((id): (typeof sqsRefusals)[number] => [
    "SetQueueAttributes",
    { Attributes: { KmsMasterKeyId: id } },
    "InvalidAttributeValue",
    "KmsMasterKeyId",
  ]),
  ...["x".repeat(257), "a\u0000", "a\nb", "\uFFFE", "Root=ü"].map(
    (StringValue): (typeof sqsRefusals)[number] => [
      "SendMessage",
      {
        MessageBody: "x",
        MessageSystemAttributes: { AWSTraceHeader: { DataType: "String", StringValue } },
      },
      "InvalidParameterValue",
      "AWSTraceHeader",
    ],
  ),
  [
    "CreateQueue",
    { QueueName: "q", Attributes: { RedriveAllowPolicy: '{"redrivePermission":"some"}' } },
    "InvalidParameterValue",
    "redrivePermission",
  ],
  ...[
    { redrivePermission: "allowAll", sourceQueueArns: [queueArn] },
    { redrivePermission: "byQueue", sourceQueueArns: [] },
    { redrivePermission: "byQueue", sourceQueueArns: Array<string>(11).fill(queueArn) },
  ].map((policy): (typeof sqsRefusals)[number] => [
    "SetQueueAttributes",
    { Attributes: { RedriveAllowPolicy: JSON.stringify(policy) } },
    "InvalidParameterValue",
    "sourceQueueArns",
  ]),
  ["CreateQueue", { QueueName: "q", tags: { "aws:x": "1" } }, "InvalidParameterValue", "aws:"],
  [
    "GetQueueUrl",
    { QueueName: "absent" },
    "AWS.SimpleQueueService.NonExistentQueue",
    "The specified queue does not exist.",
  ],
  [
    "GetQueueUrl",
    { QueueName: "billing", QueueOwnerAWSAccountId: "111122223333" },
    "AWS.SimpleQueueService.NonExistentQueue",
    "does not exist",
  ],
  [
    "DeleteQueue",
    { QueueUrl: "http://x/nonsense" },
    "InvalidAddress",
    "The address http://x/nonsense is not valid for this endpoint.",
  ],
  [
    "DeleteQueue",
    { QueueUrl: "nonsense" },
    "AWS.SimpleQueueService.NonExistentQueue",
    "does not exist",
  ],
  [
    "DeleteQueue",
    { QueueUrl: "http://x/111122223333/billing" },
    "AWS.SimpleQueueService.NonExistentQueue",
    "does not exist",
  ],
  [
    "GetQueueAttributes",
    { AttributeNames: ["Nonsense"] },
    "InvalidAttributeName",
    "Unknown Attribute Nonsense.",
  ],
  [
    "GetQueueAttributes",
    { AttributeNames: ["QueueArn", "FifoQueue"] },
    "InvalidAttributeName",
    "Unknown Attribute FifoQueue.",
  ],
  ...["CreateQueue", "SetQueueAttributes"].flatMap((action) =>
    [
      ["FifoQueue", "false", "Unknown Attribute FifoQueue."],
      ["ContentBasedDeduplication", "true", "Unknown Attribute ContentBasedDeduplication."],
      ["DeduplicationScope", "queue", "DeduplicationScope only when FifoQueue is set to true."],
      [
        "FifoThroughputLimit",
        "perQueue",
        "FifoThroughputLimit only when FifoQueue is set to true.",
      ],
    ].map(([name, value, message]): (typeof sqsRefusals)[number] => [
      action,
      { ...(action === "CreateQueue" && { QueueName: "q" }), Attributes: { [name!]: value } },
      "InvalidAttributeName",
      message!,
    ]),
  ),
  ["SetQueueAttributes", {}, "MissingParameter", "Attributes"],
  ["ListQueues", { MaxResults: 0 }, "InvalidParameterValue", "MaxResults"],
  ["ListQueues", { NextToken: "!!" }, "InvalidParameterValue", "cursor"],
  ["ListDeadLetterSourceQueues", { MaxResults: 1_001 }, "InvalidParameterValue", "MaxResults"],
  [
    "PurgeQueue",
    { QueueUrl: "http://x/000000000000/absent" },
    "AWS.SimpleQueueService.NonExistentQueue",
    "does not exist",
  ],
  ["SendMessage", { MessageBody: "" }, "MissingParameter", "MessageBody"],
  ["SendMessage", { MessageBody: "a\u0000b" }, "InvalidMessageContents", "character"],
  [
    "SendMessage",
    { MessageBody: "x".repeat(1_048_577) },
    "InvalidParameterValue",
    "Message must be shorter than 1048576 bytes.",
  ],
  [
    "SendMessage",
    { MessageBody: "x", DelaySeconds: 901 },
    "InvalidParameterValue",
    "Value 901 for parameter DelaySeconds is invalid.",
  ],
  ["SendMessage", { MessageBody: "x", DelaySeconds: -1 }, "InvalidParameterValue", "Value -1 for"],
  [
    "SendMessage",
    {
      MessageBody: "x",
      MessageAttributes: { a: { DataType: "String", StringValue: "1", BinaryValue: "AQ==" } },
    },
    "InvalidParameterValue",
    "has multiple values.",
  ],
  [
    "SendMessage",
    {
      MessageBody: "x",
      MessageAttributes: { a: { DataType: `Number.${"x".repeat(246)}`, StringValue: "1" } },
    },
    "InvalidParameterValue",
    "invalid message attribute type",
  ],
  [
    "SendMessage",
    {
      MessageBody: "x",
      MessageSystemAttributes: { AWSTraceHeader: { DataType: "Number", StringValue: "1" } },
    },
    "InvalidParameterValue",
    "must be of type 'String'",
  ],
  [
    "SendMessage",
    { MessageBody: "x", MessageGroupId: LONG },
    "InvalidParameterValue",
    "MessageGroupId can only include",
  ],
  [
    "SendMessage",
    { MessageBody: "x", MessageDeduplicationId: "1" },
    "InvalidParameterValue",
    "not valid for this queue type",
  ],
  [
    "SendMessage",
    { MessageBody: "x", MessageAttributes: { a: { DataType: "", StringValue: "1" } } },
    "InvalidParameterValue",
    "non-empty message attribute type",
  ],
  [
    "SendMessage",
    { MessageBody: "x", MessageAttributes: { a: { DataType: "Text", StringValue: "1" } } },
    "InvalidParameterValue",
    "supported type prefixes",
  ],
  [
    "SendMessage",
    { MessageBody: "x", MessageAttributes: { a: { DataType: "String", StringValue: "" } } },
    "InvalidParameterValue",
    "Message (user) attribute 'a' must contain a non-empty value of type 'String'.",
  ],
  [
    "SendMessage",
    { MessageBody: "x", MessageAttributes: { a: { DataType: "String", BinaryValue: "AQ==" } } },
    "InvalidParameterValue",
    "must use field 'String'",
  ],
  [
    "SendMessage",
    { MessageBody: "x", MessageAttributes: { a: { DataType: "Number", StringValue: "many" } } },
    "InvalidParameterValue",
    "number",
  ],
  [
    "SendMessage",
    { MessageBody: "x", MessageAttributes: { "AWS.x": { DataType: "String", StringValue: "1" } } },
    "InvalidParameterValue",
    "AWS.",
  ],
  [
    "SendMessage",
    {
      MessageBody: "x",
      MessageSystemAttributes: { Other: { DataType: "String", StringValue: "1" } },
    },
    "InvalidParameterValue",
    "AWSTraceHeader",
  ],
  [
    "SendMessageBatch",
    { Entries: elevenEntries },
    "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "You have sent 11.",
  ],
  [
    "SendMessageBatch",
    { Entries: [entry("a"), entry("a")] },
    "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "Id a repeated.",
  ],
  [
    "SendMessageBatch",
    { Entries: [entry("no spaces")] },
    "AWS.SimpleQueueService.InvalidBatchEntryId",
    "alphanumeric",
  ],
  [
    "SendMessageBatch",
    {
      Entries: [
        { Id: "a", MessageBody: "x".repeat(700_000) },
        { Id: "b", MessageBody: "x".repeat(700_000) },
      ],
    },
    "AWS.SimpleQueueService.BatchRequestTooLong",
    "1048576",
  ],
  [
    "ReceiveMessage",
    { MaxNumberOfMessages: 11 },
    "InvalidParameterValue",
    "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.",
  ],
  ["ReceiveMessage", { MaxNumberOfMessages: 0 }, "InvalidParameterValue", "MaxNumberOfMessages"],
  [
    "ReceiveMessage",
    { WaitTimeSeconds: 21 },
    "InvalidParameterValue",
    "Must be >= 0 and <= 20, if provided.",
  ],
  ["ReceiveMessage", { VisibilityTimeout: 43_201 }, "InvalidParameterValue", "VisibilityTimeout"],
  ["ReceiveMessage", { AttributeNames: ["Nonsense"] }, "InvalidAttributeName", "Nonsense"],
  [
    "ReceiveMessage",
    { ReceiveRequestAttemptId: LONG },
    "InvalidParameterValue",
    "ReceiveRequestAttemptId",
  ],
  [
    "DeleteMessage",
    { ReceiptHandle: "nonsense" },
    "ReceiptHandleIsInvalid",
    'The input receipt handle "nonsense" is not a valid receipt handle.',
  ],
  ["DeleteMessage", {}, "MissingParameter", "ReceiptHandle"],
  [
    "DeleteMessage",
    { ReceiptHandle: "x".repeat(1_025) },
    "ReceiptHandleIsInvalid",
    "is not a valid receipt handle.",
  ],
  [
    "DeleteMessageBatch",
    {
      Entries: [
        { Id: "a", ReceiptHandle: "x" },
        { Id: "a", ReceiptHandle: "y" },
      ],
    },
    "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "repeated",
  ],
  [
    "ChangeMessageVisibility",
    { ReceiptHandle: "nonsense", VisibilityTimeout: 1 },
    "ReceiptHandleIsInvalid",
    "nonsense",
  ],
  [
    "ChangeMessageVisibility",
    { ReceiptHandle: "nonsense", VisibilityTimeout: -1 },
    "InvalidParameterValue",
    "between 0 and 43200",
  ],
  [
    "ChangeMessageVisibilityBatch",
    { Entries: elevenEntries.map(({ Id }) => ({ Id, ReceiptHandle: "x", VisibilityTimeout: 1 })) },
    "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "11",
  ],
  [
    "StartMessageMoveTask",
    { SourceArn: queueArn },
    "InvalidParameterValue",
    "Source queue must be configured as a Dead Letter Queue.",
  ],
  [
    "StartMessageMoveTask",
    { SourceArn: `${queueArn}-absent` },
    "ResourceNotFoundException",
    "doesn't exist",
  ],
  [
    "StartMessageMoveTask",
    { SourceArn: queueArn, MaxNumberOfMessagesPerSecond: 501 },
    "InvalidParameterValue",
    "between 1 and 500",
  ],
  [
    "ListMessageMoveTasks",
    { SourceArn: queueArn, MaxResults: 11 },
    "InvalidParameterValue",
    "between 1 and 10",
  ],
  [
    "StartMessageMoveTask",
    { SourceArn: queueArn, MaxNumberOfMessagesPerSecond: 0 },
    "InvalidParameterValue",
    "between 1 and 500",
  ],
  [
    "CancelMessageMoveTask",
    {
      TaskHandle: btoa(
        JSON.stringify({ taskId: "00000000-0000-0000-0000-000000000000", sourceArn: queueArn }),
      ),
    },
    "ResourceNotFoundException",
    "Task does not exist.",
  ],
  ["CancelMessageMoveTask", { TaskHandle: "nonsense" }, "InvalidParameterValue", "TaskHandle"],
  ["TagQueue", { Tags: { "": "1" } }, "InvalidParameterValue", "1 and 128"],
  [
    "AddPermission",
    { Label: "no spaces", AWSAccountIds: ["111122223333"], Actions: ["*"] },
    "InvalidParameterValue",
    "Label",
  ],
  [
    "AddPermission",
    { Label: "l", AWSAccountIds: ["me"], Actions: ["*"] },
    "InvalidParameterValue",
    "Unable to verify.",
  ],
  [
    "AddPermission",
    { Label: "l", AWSAccountIds: ["111122223333"], Actions: ["Fly"] },
    "InvalidParameterValue",
    "Value SQS:Fly for parameter ActionName is invalid.",
  ],
  [
    "RemovePermission",
    { Label: "absent" },
    "InvalidParameterValue",
    "Value absent for parameter Label is invalid. Reason: can't find label.",
  ],
];

/** Actions that are not about one queue. */
const WITHOUT_QUEUE = new Set([
  "CreateQueue",
  "GetQueueUrl",
  "ListQueues",
  "StartMessageMoveTask",
  "ListMessageMoveTasks",
  "CancelMessageMoveTask",
  "Nonsense",
]);

/** `SendMessage {"MessageBody":""}`, short of what is long. */
function labelled<Row extends [string, object, ...unknown[]]>(row: Row): [string, ...Row] {
  return [`${row[0]} ${JSON.stringify(row[1]).slice(0, 120)}`, ...row];
}

describe("SQS refuses", () => {
  test.each(sqsRefusals.map(labelled))("%s", async (_, ...row) => {
    const [action, input, code, message] = row;
    const whole = WITHOUT_QUEUE.has(action) ? input : { QueueUrl: url, ...input };
    const answer = await json(action, whole);
    expect(answer.queryError).toBe(`${code};Sender`);
    expect(answer.body.message).toContain(message);
    expect(answer.body.__type).toMatch(/^com\.amazon(aws\.sqs|\.coral\.service)#\w+$/);

    const { status, xml } = await sluice.query({ Action: action, ...sqsQuery(whole) });
    expect(textIn(xml, "Code")).toBe(code);
    expect(textIn(xml, "Type")).toBe("Sender");
    expect([400, 403, 404]).toContain(status);
    expect(answer.status).toBe(status);
  });

  test.each([
    ["[]", "the body has to be an object"],
    ["{", "JSON"],
    ['{"QueueName":1}', "QueueName has to be a string"],
    ['{"QueueName":"a","QueueName":"b"}', "twice"],
    ['{"QueueName":"a","Attributes":[]}', "Attributes has to be an object"],
    ['{"QueueName":"a","Attributes":{"__proto__":"1"}}', "__proto__"],
  ])("a body like %s", async (body, message) => {
    const answer = await json("CreateQueue", body);
    expect(answer.status).toBe(400);
    expect(answer.body.message).toContain(message);
  });

  test("a permission by which a policy would grow beyond what one may be", async () => {
    const input = { QueueUrl: url, Label: "l", AWSAccountIds: Array<string>(1_990).fill(ACCOUNT) };
    const { queryError } = await json("AddPermission", { ...input, Actions: ["*"] });
    expect(queryError).toBe("OverLimit;Sender");
    const ofTopic = input.AWSAccountIds.map((id, index) => [
      `AWSAccountId.member.${index + 1}`,
      id,
    ]);
    const { xml } = await sluice.query({
      Action: "AddPermission",
      TopicArn: topicArn,
      Label: "l",
      "ActionName.member.1": "Publish",
      ...(Object.fromEntries(ofTopic) as Record<string, string>),
    });
    expect(textIn(xml, "Code")).toBe("InvalidParameter");
  });

  test("no policy, and no trace header, that is as long as one may be", async () => {
    const set = (Policy: string) =>
      json("SetQueueAttributes", { QueueUrl: url, Attributes: { Policy } });
    expect((await set(policyOf(65_536))).status).toBe(200);
    expect((await set("")).status).toBe(200);
    const StringValue = "Root=1; ".padEnd(256, "~");
    const MessageSystemAttributes = { AWSTraceHeader: { DataType: "String", StringValue } };
    const send = { QueueUrl: url, MessageBody: "x", MessageSystemAttributes };
    expect((await json("SendMessage", send)).status).toBe(200);
    expect((await json("PurgeQueue", { QueueUrl: url })).status).toBe(200);
  });

  test("a form without an action, and one with too many parameters", async () => {
    const none = await sluice.query({ QueueName: "x" });
    expect(textIn(none.xml, "Code")).toBe("MissingAction");
    const many = Object.fromEntries(Array.from({ length: 2_001 }, (_, index) => [`a${index}`, ""]));
    expect(textIn((await sluice.query(many)).xml, "Code")).toBe("MalformedInput");
  });

  test("a body that is larger than anything that could be meant", async () => {
    const response = await fetch(sluice.url, {
      method: "POST",
      body: "x".repeat(17 * 1024 * 1024),
    });
    expect(response.status).toBe(413);
  });
});

const publish = {
  "PublishBatchRequestEntries.member.1.Id": "a",
  "PublishBatchRequestEntries.member.1.Message": "x",
};

/** Action, parameters, `status Code`. */
const snsRefusals: [string, Record<string, string>, string][] = [
  ["Nonsense", {}, "400 InvalidAction"],
  ["CreateTopic", {}, "400 ValidationError"],
  ["CreateTopic", { Name: "no spaces" }, "400 InvalidParameter"],
  ["CreateTopic", { Name: "x".repeat(257) }, "400 InvalidParameter"],
  ["CreateTopic", { Name: "t.fifo" }, "400 InvalidParameter"],
  [
    "CreateTopic",
    {
      Name: `${"x".repeat(252)}.fifo`,
      "Attributes.entry.1.key": "FifoTopic",
      "Attributes.entry.1.value": "true",
    },
    "400 InvalidParameter",
  ],
  [
    "CreateTopic",
    { Name: "t", "Attributes.entry.1.key": "Nonsense", "Attributes.entry.1.value": "1" },
    "400 InvalidParameter",
  ],
  [
    "CreateTopic",
    { Name: "t", "Tags.member.1.Key": "aws:x", "Tags.member.1.Value": "1" },
    "400 InvalidParameter",
  ],
  ["CreateTopic", { Name: "t", DataProtectionPolicy: "{}" }, "400 InvalidParameter"],
  ...[
    ["Policy", policyOf(65_537)],
    ["DeliveryPolicy", policyOf(65_537)],
    ["KmsMasterKeyId", "a\u0000"],
    ["DisplayName", "a\nb"],
    ["SQSSuccessFeedbackRoleArn", "a\u0000"],
  ].map(([AttributeName, AttributeValue]): (typeof snsRefusals)[number] => [
    "SetTopicAttributes",
    { TopicArn: topicArn, AttributeName: AttributeName!, AttributeValue: AttributeValue! },
    "400 InvalidParameter",
  ]),
  ["DeleteTopic", { TopicArn: "nonsense" }, "400 InvalidParameter"],
  ["GetTopicAttributes", { TopicArn: `${topicArn}-absent` }, "404 NotFound"],
  [
    "GetTopicAttributes",
    { TopicArn: topicArn.replace(REGION, "eu-west-1") },
    "400 InvalidParameter",
  ],
  [
    "GetTopicAttributes",
    { TopicArn: topicArn.replace(ACCOUNT, "111122223333") },
    "400 InvalidParameter",
  ],
  [
    "SetTopicAttributes",
    { TopicArn: topicArn, AttributeName: "FifoTopic", AttributeValue: "true" },
    "400 InvalidParameter",
  ],
  ...["1023", "1048577", "many", ""].map(
    (AttributeValue): [string, Record<string, string>, string] => [
      "SetTopicAttributes",
      { TopicArn: topicArn, AttributeName: "MaximumMessageSize", AttributeValue },
      "400 InvalidParameter",
    ],
  ),
  ["ListTopics", { NextToken: "!!" }, "400 InvalidParameter"],
  ["Subscribe", { TopicArn: topicArn, Protocol: "sqs" }, "400 InvalidParameter"],
  [
    "Subscribe",
    { TopicArn: topicArn, Protocol: "sqs", Endpoint: "nonsense" },
    "400 InvalidParameter",
  ],
  [
    "Subscribe",
    { TopicArn: topicArn, Protocol: "sqs", Endpoint: `${queueArn}-absent` },
    "400 InvalidParameter",
  ],
  [
    "Subscribe",
    { TopicArn: `${topicArn}-absent`, Protocol: "sqs", Endpoint: queueArn },
    "404 NotFound",
  ],
  [
    "Subscribe",
    { TopicArn: topicArn, Protocol: "https", Endpoint: "https://x/" },
    "400 InvalidParameter",
  ],
  ["Unsubscribe", { SubscriptionArn: "nonsense" }, "400 InvalidParameter"],
  [
    "GetSubscriptionAttributes",
    { SubscriptionArn: `${topicArn}:00000000-0000-0000-0000-000000000000` },
    "404 NotFound",
  ],
  [
    "SetSubscriptionAttributes",
    {
      SubscriptionArn: `${topicArn}:00000000-0000-0000-0000-000000000000`,
      AttributeName: "RawMessageDelivery",
      AttributeValue: "true",
    },
    "404 NotFound",
  ],
  ["ListSubscriptionsByTopic", { TopicArn: `${topicArn}-absent` }, "404 NotFound"],
  ["ConfirmSubscription", { TopicArn: topicArn, Token: "x" }, "400 InvalidParameter"],
  ["Publish", { Message: "x" }, "400 InvalidParameter"],
  ["Publish", { TopicArn: topicArn }, "400 ValidationError"],
  ["Publish", { TopicArn: topicArn, Message: "" }, "400 InvalidParameter"],
  ["Publish", { TopicArn: topicArn, Message: "x".repeat(262_145) }, "400 InvalidParameter"],
  [
    "Publish",
    { TopicArn: topicArn, Message: "x", Subject: "x".repeat(100) },
    "400 InvalidParameter",
  ],
  ["Publish", { TopicArn: topicArn, Message: "x", Subject: "" }, "400 InvalidParameter"],
  [
    "Publish",
    { TopicArn: topicArn, Message: "{}", MessageStructure: "json" },
    "400 InvalidParameter",
  ],
  ["Publish", { PhoneNumber: "+491234", Message: "x" }, "400 InvalidParameter"],
  ["Publish", { TargetArn: `${topicArn}-absent`, Message: "x" }, "404 NotFound"],
  ["Publish", { TopicArn: topicArn, Message: "x", MessageGroupId: LONG }, "400 InvalidParameter"],
  [
    "Publish",
    {
      TopicArn: topicArn,
      Message: "x",
      "MessageAttributes.entry.1.Name": "a",
      "MessageAttributes.entry.1.Value.DataType": "Text",
      "MessageAttributes.entry.1.Value.StringValue": "x",
    },
    "400 ParameterValueInvalid",
  ],
  ["PublishBatch", { TopicArn: topicArn }, "400 EmptyBatchRequest"],
  [
    "PublishBatch",
    { TopicArn: topicArn, "PublishBatchRequestEntries.member.1.Id": "a" },
    "400 ValidationError",
  ],
  [
    "PublishBatch",
    {
      TopicArn: topicArn,
      ...publish,
      "PublishBatchRequestEntries.member.2.Id": "a",
      "PublishBatchRequestEntries.member.2.Message": "x",
    },
    "400 BatchEntryIdsNotDistinct",
  ],
  [
    "PublishBatch",
    {
      TopicArn: topicArn,
      "PublishBatchRequestEntries.member.1.Id": "a b",
      "PublishBatchRequestEntries.member.1.Message": "x",
    },
    "400 InvalidBatchEntryId",
  ],
  [
    "PublishBatch",
    {
      TopicArn: topicArn,
      ...Object.fromEntries(
        elevenEntries.flatMap(({ Id }, index) => [
          [`PublishBatchRequestEntries.member.${index + 1}.Id`, Id],
          [`PublishBatchRequestEntries.member.${index + 1}.Message`, "x"],
        ]),
      ),
    },
    "400 TooManyEntriesInBatchRequest",
  ],
  [
    "PublishBatch",
    {
      TopicArn: topicArn,
      ...publish,
      "PublishBatchRequestEntries.member.1.Message": "x".repeat(262_145),
    },
    "400 BatchRequestTooLong",
  ],
  [
    "TagResource",
    { ResourceArn: `${topicArn}-absent`, "Tags.member.1.Key": "a", "Tags.member.1.Value": "1" },
    "404 ResourceNotFound",
  ],
  ["UntagResource", { ResourceArn: "nonsense", "TagKeys.member.1": "a" }, "400 InvalidParameter"],
  ["ListTagsForResource", { ResourceArn: `${topicArn}-absent` }, "404 ResourceNotFound"],
  ["GetDataProtectionPolicy", { ResourceArn: `${topicArn}-absent` }, "404 NotFound"],
  [
    "PutDataProtectionPolicy",
    { ResourceArn: topicArn, DataProtectionPolicy: "{}" },
    "400 InvalidParameter",
  ],
  [
    "AddPermission",
    {
      TopicArn: topicArn,
      Label: "l",
      "AWSAccountId.member.1": "me",
      "ActionName.member.1": "Publish",
    },
    "400 InvalidParameter",
  ],
  [
    "AddPermission",
    {
      TopicArn: topicArn,
      Label: "l",
      "AWSAccountId.member.1": "111122223333",
      "ActionName.member.1": "Fly",
    },
    "400 InvalidParameter",
  ],
  ["RemovePermission", { TopicArn: `${topicArn}-absent`, Label: "l" }, "404 NotFound"],
];

describe("SNS refuses", () => {
  test.each(snsRefusals.map(labelled))("%s", async (_, Action, parameters, expected) => {
    const { status, xml } = await sluice.query({ Action, Version: "2010-03-31", ...parameters });
    expect(`${status} ${textIn(xml, "Code")}`).toBe(expected);
    expect(xml).toContain('<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">');
  });

  test.each<[string, Record<string, string>, string]>([
    [
      "Publish",
      { TopicArn: "", Message: "x" },
      "TopicArn Reason: An ARN must have at least 6 elements, not 1",
    ],
    ["Publish", { TopicArn: topicArn.replace(REGION, "eu-west-1"), Message: "x" }, "TopicArn"],
    [
      "Unsubscribe",
      { SubscriptionArn: "a:b" },
      "SubscriptionArn Reason: An ARN must have at least 6 elements, not 2",
    ],
    ["Unsubscribe", { SubscriptionArn: topicArn }, "SubscriptionId"],
    ["GetSubscriptionAttributes", { SubscriptionArn: topicArn }, "SubscriptionId"],
    ...["Subscribe", "SetSubscriptionAttributes"].flatMap((action) =>
      [
        ["Nonsense", "x", "AttributeName"],
        [
          "RawMessageDelivery",
          "x",
          "RawMessageDelivery: Invalid value [x]. Must be true or false.",
        ],
        ["FilterPolicy", "{", "FilterPolicy: failed to parse JSON."],
        [
          "RedrivePolicy",
          '{"deadLetterTargetArn":"x"}',
          "RedrivePolicy: deadLetterTargetArn is an invalid arn",
        ],
      ].map(([name, value, what]): [string, Record<string, string>, string] =>
        action === "Subscribe"
          ? [
              action,
              {
                TopicArn: topicArn,
                Protocol: "sqs",
                Endpoint: queueArn,
                "Attributes.entry.1.key": name!,
                "Attributes.entry.1.value": value!,
              },
              `Attributes Reason: ${what}`,
            ]
          : [action, { SubscriptionArn: "x", AttributeName: name!, AttributeValue: value! }, what!],
      ),
    ),
  ])("%s %j in its own words", async (Action, parameters, what) => {
    const { xml } = await sluice.query({ Action, Version: "2010-03-31", ...parameters });
    expect(textIn(xml, "Message")).toBe(`Invalid parameter: ${what}`);
  });

  test("an attribute without a value in its own words", async () => {
    const { xml } = await sluice.query({
      Action: "Publish",
      Version: "2010-03-31",
      TopicArn: topicArn,
      Message: "x",
      "MessageAttributes.entry.1.Name": "a",
      "MessageAttributes.entry.1.Value.DataType": "String",
    });
    expect(textIn(xml, "Message")).toBe(
      "The message attribute &apos;a&apos; must contain non-empty message attribute value for message attribute type &apos;String&apos;.",
    );
  });
});

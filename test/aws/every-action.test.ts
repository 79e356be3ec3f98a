import * as snsSdk from "@aws-sdk/client-sns";
import * as sqsSdk from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { snsQuery, sqsQuery } from "./as-query.ts";
import { ACCOUNT, REGION, Sluice, textIn } from "./sluice.ts";

/** Of each action an input that would do, were there such a queue or topic. */
type Inputs = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const arnOf = (service: string, name: string) => `arn:aws:${service}:${REGION}:${ACCOUNT}:${name}`;
const QueueUrl = `http://sluice/${ACCOUNT}/absent`;
const TopicArn = arnOf("sns", "absent");
const ResourceArn = TopicArn;
const SubscriptionArn = `${TopicArn}:00000000-0000-0000-0000-000000000000`;
const SourceArn = arnOf("sqs", "absent");

const sqs: Inputs = {
  AddPermission: { QueueUrl, Label: "l", AWSAccountIds: [ACCOUNT], Actions: ["SendMessage"] },
  CancelMessageMoveTask: { TaskHandle: "x" },
  ChangeMessageVisibility: { QueueUrl, ReceiptHandle: "x", VisibilityTimeout: 1 },
  ChangeMessageVisibilityBatch: {
    QueueUrl,
    Entries: [{ Id: "a", ReceiptHandle: "x", VisibilityTimeout: 1 }],
  },
  CreateQueue: { QueueName: "new" },
  DeleteMessage: { QueueUrl, ReceiptHandle: "x" },
  DeleteMessageBatch: { QueueUrl, Entries: [{ Id: "a", ReceiptHandle: "x" }] },
  DeleteQueue: { QueueUrl },
  GetQueueAttributes: { QueueUrl },
  GetQueueUrl: { QueueName: "absent" },
  ListDeadLetterSourceQueues: { QueueUrl },
  ListMessageMoveTasks: { SourceArn },
  ListQueueTags: { QueueUrl },
  ListQueues: {},
  PurgeQueue: { QueueUrl },
  ReceiveMessage: { QueueUrl },
  RemovePermission: { QueueUrl, Label: "l" },
  SendMessage: { QueueUrl, MessageBody: "x" },
  SendMessageBatch: { QueueUrl, Entries: [{ Id: "a", MessageBody: "x" }] },
  SetQueueAttributes: { QueueUrl, Attributes: { VisibilityTimeout: "1" } },
  StartMessageMoveTask: { SourceArn },
  TagQueue: { QueueUrl, Tags: { a: "1" } },
  UntagQueue: { QueueUrl, TagKeys: ["a"] },
};

const sns: Inputs = {
  AddPermission: { TopicArn, Label: "l", AWSAccountId: [ACCOUNT], ActionName: ["Publish"] },
  ConfirmSubscription: { TopicArn, Token: "x" },
  CreateTopic: { Name: "new" },
  DeleteTopic: { TopicArn },
  GetDataProtectionPolicy: { ResourceArn },
  GetSubscriptionAttributes: { SubscriptionArn },
  GetTopicAttributes: { TopicArn },
  ListSubscriptions: {},
  ListSubscriptionsByTopic: { TopicArn },
  ListTagsForResource: { ResourceArn },
  ListTopics: {},
  Publish: { TopicArn, Message: "x" },
  PublishBatch: { TopicArn, PublishBatchRequestEntries: [{ Id: "a", Message: "x" }] },
  PutDataProtectionPolicy: { ResourceArn, DataProtectionPolicy: "{}" },
  RemovePermission: { TopicArn, Label: "l" },
  SetSubscriptionAttributes: {
    SubscriptionArn,
    AttributeName: "RawMessageDelivery",
    AttributeValue: "true",
  },
  SetTopicAttributes: { TopicArn, AttributeName: "DisplayName", AttributeValue: "x" },
  Subscribe: { TopicArn, Protocol: "sqs", Endpoint: SourceArn },
  TagResource: { ResourceArn, Tags: [{ Key: "a", Value: "1" }] },
  Unsubscribe: { SubscriptionArn },
  UntagResource: { ResourceArn, TagKeys: ["a"] },
};

/** A queue of this account: nobody else's, whatever its name. */
const THERE = "there";

let sluice: Sluice;
beforeAll(async () => {
  sluice = await Sluice.start();
  await sluice.sqs.send(new sqsSdk.CreateQueueCommand({ QueueName: THERE }));
});
afterAll(() => sluice[Symbol.asyncDispose]());

/** `400 MissingParameter`, by the code that is common to both protocols. */
async function sqsJson(action: string, input: object): Promise<string> {
  const response = await fetch(sluice.url, {
    method: "POST",
    headers: {
      "content-type": "application/x-amz-json-1.0",
      "x-amz-target": `AmazonSQS.${action}`,
    },
    body: JSON.stringify(input),
  });
  await response.arrayBuffer();
  return `${response.status} ${response.headers.get("x-amzn-query-error")?.split(";")[0]}`;
}

async function query(parameters: Record<string, string>): Promise<string> {
  const { status, xml } = await sluice.query(parameters);
  return `${status} ${textIn(xml, "Code")}`;
}

const sqsForm = (Action: string, input: Inputs[string]) => query({ Action, ...sqsQuery(input) });
const snsForm = (Action: string, input: Inputs[string]) =>
  query({ Action, Version: "2010-03-31", ...snsQuery(input) });

const commandsOf = (sdk: object) =>
  Object.keys(sdk)
    .filter((name) => name.endsWith("Command") && name !== "$Command")
    .map((name) => name.slice(0, -"Command".length));

interface Member {
  action: string;
  name: string;
  shape: unknown;
  input: Inputs[string];
}

/**
 * Members of the inputs as AWS' own SDK has them: of an operation the input comes fifth, of that the names, shapes, and
 * how many are required.
 */
function membersOf(sdk: object, inputs: Inputs, which: "all" | "required"): Member[] {
  return Object.entries(inputs).flatMap(([action, input]) => {
    const operation = (sdk as Record<string, unknown[]>)[`${action}$`]!;
    const reference = operation[4] as unknown[] | (() => unknown[]);
    const schema = typeof reference === "function" ? reference() : reference;
    const [names = [], shapes = [], required = 0] = schema.slice(4) as [
      string[]?,
      unknown[]?,
      number?,
    ];
    const count = which === "all" ? names.length : required;
    return names
      .slice(0, count)
      .map((name, index) => ({ action, name, shape: shapes[index], input }));
  });
}

function without(input: Inputs[string], name: string): Inputs[string] {
  return Object.fromEntries(Object.entries(input).filter(([key]) => key !== name));
}

test("these are all actions of SQS, and of SNS those from application to application", () => {
  expect(Object.keys(sqs).sort()).toEqual(commandsOf(sqsSdk).sort());
  expect(commandsOf(snsSdk)).toEqual(expect.arrayContaining(Object.keys(sns)));
});

test("every action of SNS that is for phones and push is unknown", async () => {
  const others = commandsOf(snsSdk).filter((name) => !(name in sns));
  expect(others.length).toBeGreaterThan(10);
  for (const action of others) expect(await snsForm(action, {}), action).toBe("400 InvalidAction");
});

describe("whatever is required and left out is missed:", () => {
  test.each(membersOf(sqsSdk, sqs, "required"))(
    "SQS $action $name",
    async ({ action, name, input }) => {
      const left = without(input, name);
      expect(await sqsJson(action, left)).toBe("400 MissingParameter");
      expect(await sqsJson(action, { ...left, [name]: null })).toBe("400 MissingParameter");
      // In a form a list without anything in it is not there.
      const isBatch = name === "Entries";
      expect(await sqsForm(action, left)).toBe(
        isBatch ? "400 AWS.SimpleQueueService.EmptyBatchRequest" : "400 MissingParameter",
      );
    },
  );

  test.each(membersOf(snsSdk, sns, "required"))(
    "SNS $action $name",
    async ({ action, name, input }) => {
      const isBatch = name === "PublishBatchRequestEntries";
      expect(await snsForm(action, without(input, name))).toBe(
        isBatch ? "400 EmptyBatchRequest" : "400 ValidationError",
      );
    },
  );
});

const STRING = 0;

describe("what is of another type is malformed:", () => {
  test.each(membersOf(sqsSdk, sqs, "all"))(
    "SQS $action $name",
    async ({ action, name, shape, input }) => {
      const wrong = shape === STRING ? [1, true, {}, []] : ["x", true, 1.5];
      for (const value of wrong) {
        const answer = await sqsJson(action, { ...input, [name]: value });
        expect(answer, JSON.stringify(value)).toBe("400 MalformedInput");
      }
    },
  );
});

const GONE = "400 AWS.SimpleQueueService.NonExistentQueue";

describe("what is not there, or is not the caller's, is not found:", () => {
  const onQueues = Object.entries(sqs).filter(([, input]) => "QueueUrl" in input);

  test.each(onQueues)("the queue of %s", async (action, input) => {
    const foreign = `http://sluice/111122223333/${THERE}`;
    for (const url of [QueueUrl, foreign]) {
      const answer = await sqsJson(action, { ...input, QueueUrl: url });
      expect(answer).toBe(GONE);
      expect(await sqsForm(action, { ...input, QueueUrl: url })).toBe(answer);
    }
    for (const url of ["", "no name", "http://sluice/", "http://sluice/nonsense"]) {
      expect(await sqsJson(action, { ...input, QueueUrl: url }), url).toBe("404 InvalidAddress");
      expect(await sqsForm(action, { ...input, QueueUrl: url }), url).toBe("404 InvalidAddress");
    }
  });

  const onTopics = Object.entries(sns).flatMap(([action, input]) =>
    ["TopicArn", "ResourceArn", "SubscriptionArn"]
      .filter((parameter) => parameter in input)
      .map((parameter) => ({ action, parameter, input })),
  );
  const notFound: Record<string, string> = {
    // Nothing is left to be done.
    DeleteTopic: "200 undefined",
    Unsubscribe: "200 undefined",
    TagResource: "404 ResourceNotFound",
    UntagResource: "404 ResourceNotFound",
    ListTagsForResource: "404 ResourceNotFound",
    // No token is one of ours, whatever the topic.
    ConfirmSubscription: "400 InvalidParameter",
  };

  test.each(onTopics)("the $parameter of $action", async ({ action, parameter, input }) => {
    expect(await snsForm(action, input)).toBe(notFound[action] ?? "404 NotFound");
    const arn = input[parameter] as string;
    const foreign = [
      arn.replace(ACCOUNT, "111122223333"),
      arn.replace(REGION, "eu-west-1"),
      arn.replace(":sns:", ":sqs:"),
      "nonsense",
      "",
    ];
    for (const other of foreign) {
      const answer = await snsForm(action, { ...input, [parameter]: other });
      expect(answer, other).toBe("400 InvalidParameter");
    }
  });
});

describe("text that no database can keep, and JSON that no parser walks, are refused or have no meaning:", () => {
  const ODD = [
    "a\u0000",
    "\uD800",
    '{"a":["\\u0000"]}',
    '{"a":["\\uD800"]}',
    '{"\\u0000":["a"]}',
    `{"a":"\uD800"}`,
    `{"a":${"[".repeat(200_000)}${"]".repeat(200_000)}}`,
  ];
  const url = `http://sluice/${ACCOUNT}/${THERE}`;
  const here = (input: Inputs[string]) =>
    JSON.parse(JSON.stringify(input).replaceAll("absent", THERE)) as Inputs[string];
  const isKept = ({ action }: { action: string }) => !/^(Delete|Unsubscribe)/.test(action);
  let subscription: string | undefined;
  beforeAll(async () => {
    const TopicArn = (await sluice.sns.send(new snsSdk.CreateTopicCommand({ Name: THERE })))
      .TopicArn!;
    const Endpoint = arnOf("sqs", THERE);
    const subscribe = new snsSdk.SubscribeCommand({ TopicArn, Protocol: "sqs", Endpoint });
    subscription = (await sluice.sns.send(subscribe)).SubscriptionArn;
  });
  const expectAnswer = (answer: string, text: string) =>
    expect(answer, JSON.stringify(text).slice(0, 40)).toMatch(/^[24]\d\d /);

  test.each(membersOf(sqsSdk, sqs, "all").filter(isKept))(
    "SQS $action $name",
    async ({ action, name, shape, input }) => {
      if (shape !== STRING) return;
      for (const text of ODD) {
        const given = { ...here(input), [name]: text };
        expectAnswer(await sqsJson(action, given), text);
        expectAnswer(await sqsForm(action, given), text);
      }
    },
  );

  test.each(membersOf(snsSdk, sns, "all").filter(isKept))(
    "SNS $action $name",
    async ({ action, name, shape, input }) => {
      if (shape !== STRING) return;
      for (const text of ODD)
        expectAnswer(await snsForm(action, { ...here(input), [name]: text }), text);
    },
  );

  test.each([
    "Policy",
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
  ])("the attribute %s of a queue", async (name) => {
    for (const text of ODD) {
      const Attributes = { [name]: text };
      expectAnswer(await sqsJson("SetQueueAttributes", { QueueUrl: url, Attributes }), text);
      for (let times = 0; times < 2; times += 1) {
        const QueueName = `odd-${name}-${ODD.indexOf(text)}`;
        expectAnswer(await sqsJson("CreateQueue", { QueueName, Attributes }), text);
      }
      const permission = here(sqs["AddPermission"]!);
      expectAnswer(await sqsJson("AddPermission", { ...permission, Label: `l${name}` }), text);
    }
  });

  test.each([
    "DisplayName",
    "Policy",
    "DeliveryPolicy",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "SignatureVersion",
    "TracingConfig",
    "SQSSuccessFeedbackRoleArn",
    "SQSFailureFeedbackRoleArn",
    "SQSSuccessFeedbackSampleRate",
  ])("the attribute %s of a topic", async (name) => {
    for (const text of ODD) {
      const set = { TopicArn: arnOf("sns", THERE), AttributeName: name, AttributeValue: text };
      expectAnswer(await snsForm("SetTopicAttributes", set), text);
      for (let times = 0; times < 2; times += 1) {
        const Attributes = { "Attributes.entry.1.key": name, "Attributes.entry.1.value": text };
        const Name = `odd-${name}-${ODD.indexOf(text)}`;
        expectAnswer(await query({ Action: "CreateTopic", Name, ...Attributes }), text);
      }
    }
  });

  test.each(["FilterPolicy", "RedrivePolicy", "ReplayPolicy", "FilterPolicyScope"])(
    "the attribute %s of a subscription",
    async (AttributeName) => {
      for (const AttributeValue of ODD) {
        const set = { SubscriptionArn: subscription, AttributeName, AttributeValue };
        expectAnswer(await snsForm("SetSubscriptionAttributes", set), AttributeValue);
      }
    },
  );
});

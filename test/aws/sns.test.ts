import { verify, X509Certificate } from "node:crypto";

import {
  AddPermissionCommand,
  ConfirmSubscriptionCommand,
  CreateTopicCommand,
  DeleteTopicCommand,
  GetDataProtectionPolicyCommand,
  GetSubscriptionAttributesCommand,
  GetTopicAttributesCommand,
  ListSubscriptionsByTopicCommand,
  ListSubscriptionsCommand,
  ListTagsForResourceCommand,
  ListTopicsCommand,
  PublishBatchCommand,
  PublishCommand,
  PutDataProtectionPolicyCommand,
  RemovePermissionCommand,
  SetSubscriptionAttributesCommand,
  SetTopicAttributesCommand,
  SubscribeCommand,
  TagResourceCommand,
  UnsubscribeCommand,
  UntagResourceCommand,
} from "@aws-sdk/client-sns";
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  type Message,
} from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ACCOUNT, refusal, REGION, Sluice } from "./sluice.ts";

let sluice: Sluice;
beforeAll(async () => {
  sluice = await Sluice.start();
});
afterAll(() => sluice[Symbol.asyncDispose]());

let names = 0;
function newName(kind: string): string {
  names += 1;
  return `${kind}-${names}`;
}

async function newTopic(): Promise<string> {
  const { TopicArn } = await sluice.sns.send(new CreateTopicCommand({ Name: newName("topic") }));
  return TopicArn!;
}

async function newQueue(): Promise<{ url: string; arn: string }> {
  const QueueName = newName("queue");
  const { QueueUrl } = await sluice.sqs.send(new CreateQueueCommand({ QueueName }));
  return { url: QueueUrl!, arn: `arn:aws:sqs:${REGION}:${ACCOUNT}:${QueueName}` };
}

async function subscribe(
  TopicArn: string,
  Endpoint: string,
  Attributes: Record<string, string> = { RawMessageDelivery: "true" },
): Promise<string> {
  const { SubscriptionArn } = await sluice.sns.send(
    new SubscribeCommand({ TopicArn, Protocol: "sqs", Endpoint, Attributes }),
  );
  return SubscriptionArn!;
}

async function receive(QueueUrl: string): Promise<Message[]> {
  const { Messages = [] } = await sluice.sqs.send(
    new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: 10,
      MessageAttributeNames: ["All"],
      MessageSystemAttributeNames: ["All"],
    }),
  );
  return Messages;
}

describe("topics", () => {
  test("a topic is created once, whoever creates it how often", async () => {
    const Name = newName("topic");
    const create = (attributes: Record<string, string> = {}, tags: Record<string, string> = {}) =>
      sluice.sns.send(
        new CreateTopicCommand({
          Name,
          Attributes: attributes,
          Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
        }),
      );
    const { TopicArn } = await create({ DisplayName: "Orders" }, { team: "checkout" });
    expect(TopicArn).toBe(`arn:aws:sns:${REGION}:${ACCOUNT}:${Name}`);
    expect((await create()).TopicArn).toBe(TopicArn);
    expect((await create({ DisplayName: "Orders" })).TopicArn).toBe(TopicArn);
    expect(await refusal(create({ DisplayName: "Others" }))).toBe("InvalidParameterException 400");
    expect(await refusal(create({}, { team: "billing" }))).toBe("InvalidParameterException 400");
  });

  test("a topic that is created again with some of its tags is the same one, with any other it is refused", async () => {
    const Name = newName("topic");
    const create = async (...Tags: { Key: string; Value: string }[]) =>
      (await sluice.sns.send(new CreateTopicCommand({ Name, Tags }))).TopicArn!;
    const [team, stage] = [
      { Key: "team", Value: "checkout" },
      { Key: "stage", Value: "test" },
    ] as const;
    const TopicArn = await create(team, stage);
    expect(await create(stage)).toBe(TopicArn);
    await expect(create(stage, { Key: "cost", Value: "1" })).rejects.toThrow(
      "Invalid parameter: Tags Reason: Topic already exists with different tags",
    );
    const { Tags } = await sluice.sns.send(
      new ListTagsForResourceCommand({ ResourceArn: TopicArn }),
    );
    expect(Tags).toEqual(expect.arrayContaining([team, stage]));
    expect(Tags).toHaveLength(2);
  });

  test("true and false are read in any case", async () => {
    const Name = `${newName("topic")}.fifo`;
    const create = (text: string) =>
      sluice.sns.send(
        new CreateTopicCommand({
          Name,
          Attributes: { FifoTopic: text, ContentBasedDeduplication: text, DisplayName: "True" },
        }),
      );
    const { TopicArn } = await create("True");
    const shown = async () =>
      (await sluice.sns.send(new GetTopicAttributesCommand({ TopicArn }))).Attributes!;
    const attributes = { FifoTopic: "true", ContentBasedDeduplication: "true" };
    expect(await shown()).toMatchObject({ ...attributes, DisplayName: "True" });
    expect((await create("true")).TopicArn).toBe(TopicArn);
    await sluice.sns.send(
      new SetTopicAttributesCommand({
        TopicArn,
        AttributeName: "ContentBasedDeduplication",
        AttributeValue: "False",
      }),
    );
    expect(await shown()).toMatchObject({ ContentBasedDeduplication: "false" });
  });

  test("its attributes are kept and shown, with AWS' defaults around them", async () => {
    const TopicArn = await newTopic();
    const set = (AttributeName: string, AttributeValue: string) =>
      sluice.sns.send(new SetTopicAttributesCommand({ TopicArn, AttributeName, AttributeValue }));
    const shown = async () =>
      (await sluice.sns.send(new GetTopicAttributesCommand({ TopicArn }))).Attributes!;
    await set("DisplayName", "Orders");
    await set("KmsMasterKeyId", "alias/aws/sns");
    expect(await shown()).toMatchObject({
      TopicArn,
      Owner: ACCOUNT,
      DisplayName: "Orders",
      KmsMasterKeyId: "alias/aws/sns",
      SubscriptionsConfirmed: "0",
      SubscriptionsPending: "0",
      Policy: expect.stringContaining("__default_policy_ID"),
      EffectiveDeliveryPolicy: expect.stringContaining("numRetries"),
    });
    await set("KmsMasterKeyId", "");
    expect(await shown()).not.toHaveProperty("KmsMasterKeyId");
    expect(await refusal(set("Nonsense", "1"))).toBe("InvalidParameterException 400");
    expect(await refusal(set("SignatureVersion", "3"))).toBe("InvalidParameterException 400");
  });

  test("messages may be as large as the topic says, which is shown where it was set", async () => {
    const TopicArn = await newTopic();
    const sizeOf = async () =>
      (await sluice.sns.send(new GetTopicAttributesCommand({ TopicArn }))).Attributes?.[
        "MaximumMessageSize"
      ];
    const set = (AttributeValue: string) =>
      sluice.sns.send(
        new SetTopicAttributesCommand({
          TopicArn,
          AttributeName: "MaximumMessageSize",
          AttributeValue,
        }),
      );
    const publish = (bytes: number) =>
      sluice.sns.send(new PublishCommand({ TopicArn, Message: "x".repeat(bytes) }));
    expect(await sizeOf()).toBeUndefined();
    await set("1048576");
    expect(await sizeOf()).toBe("1048576");
    await publish(1_048_576);
    await set("1024");
    await publish(1_024);
    expect(await refusal(publish(1_025))).toBe("InvalidParameterException 400");
  });

  test("what AWS' attributes do not name stays as the native API set it", async () => {
    const name = newName("topic");
    await fetch(`${sluice.url}/v1/topics`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ name, maxMessageSize: 2_048 }),
    });
    const create = (MaximumMessageSize: string) =>
      sluice.sns.send(new CreateTopicCommand({ Name: name, Attributes: { MaximumMessageSize } }));
    const { TopicArn } = await create("2048");
    expect(await refusal(create("4096"))).toBe("InvalidParameterException 400");
    const set = { TopicArn, AttributeName: "DisplayName", AttributeValue: "Orders" };
    await sluice.sns.send(new SetTopicAttributesCommand(set));
    const { Attributes } = await sluice.sns.send(new GetTopicAttributesCommand({ TopicArn }));
    expect(Attributes).toMatchObject({ DisplayName: "Orders", MaximumMessageSize: "2048" });
  });

  test("topics are listed a hundred a page", async () => {
    await Promise.all(Array.from({ length: 101 }, () => newTopic()));
    const { Topics, NextToken } = await sluice.sns.send(new ListTopicsCommand({}));
    expect(Topics).toHaveLength(100);
    const next = await sluice.sns.send(new ListTopicsCommand({ NextToken }));
    expect(next.Topics?.length).toBeGreaterThan(0);
    expect(Topics).not.toContainEqual(next.Topics![0]);
  });

  test("lists begin with an empty token as without one", async () => {
    const TopicArn = await newTopic();
    const { arn } = await newQueue();
    await subscribe(TopicArn, arn);
    const NextToken = "";
    const topics = await sluice.sns.send(new ListTopicsCommand({ NextToken }));
    expect(topics.Topics).toEqual((await sluice.sns.send(new ListTopicsCommand({}))).Topics);
    const all = await sluice.sns.send(new ListSubscriptionsCommand({ NextToken }));
    const byTopic = new ListSubscriptionsByTopicCommand({ TopicArn, NextToken });
    const { Subscriptions } = await sluice.sns.send(byTopic);
    expect(Subscriptions?.map(({ Endpoint }) => Endpoint)).toEqual([arn]);
    expect(all.Subscriptions).toContainEqual(Subscriptions![0]);
  });

  test("a deleted topic is not there, and deleting it again is no error", async () => {
    const TopicArn = await newTopic();
    await sluice.sns.send(new DeleteTopicCommand({ TopicArn }));
    await sluice.sns.send(new DeleteTopicCommand({ TopicArn }));
    expect(await refusal(sluice.sns.send(new GetTopicAttributesCommand({ TopicArn })))).toBe(
      "NotFoundException 404",
    );
    expect(await refusal(sluice.sns.send(new PublishCommand({ TopicArn, Message: "x" })))).toBe(
      "NotFoundException 404",
    );
  });

  test("tags are added, listed and taken away", async () => {
    const ResourceArn = await newTopic();
    const Tags = [{ Key: "team", Value: "checkout" }];
    await sluice.sns.send(new TagResourceCommand({ ResourceArn, Tags }));
    const list = () => sluice.sns.send(new ListTagsForResourceCommand({ ResourceArn }));
    expect((await list()).Tags).toEqual(Tags);
    const twice = [...Tags, { Key: "team", Value: "other" }];
    await expect(
      sluice.sns.send(new TagResourceCommand({ ResourceArn, Tags: twice })),
    ).rejects.toThrow("Duplicated keys are not allowed.");
    await sluice.sns.send(new UntagResourceCommand({ ResourceArn, TagKeys: ["team"] }));
    expect((await list()).Tags).toEqual([]);
  });

  test("permissions are statements of the policy", async () => {
    const TopicArn = await newTopic();
    const policy = async () =>
      (await sluice.sns.send(new GetTopicAttributesCommand({ TopicArn }))).Attributes!.Policy;
    const before = await policy();
    await sluice.sns.send(
      new AddPermissionCommand({
        TopicArn,
        Label: "publishers",
        AWSAccountId: ["111122223333", "444455556666"],
        ActionName: ["Publish"],
      }),
    );
    const { Statement: statements } = JSON.parse((await policy())!) as {
      Statement: { Sid: string }[];
    };
    expect(statements.map(({ Sid }) => Sid)).toEqual(["__default_statement_ID", "publishers"]);
    await sluice.sns.send(new RemovePermissionCommand({ TopicArn, Label: "publishers" }));
    expect(await policy()).toBe(before);
  });

  test("data protection policies are answered as unsupported", async () => {
    const ResourceArn = await newTopic();
    const put = new PutDataProtectionPolicyCommand({ ResourceArn, DataProtectionPolicy: "{}" });
    expect(await refusal(sluice.sns.send(put))).toBe("InvalidParameterException 400");
    const get = new GetDataProtectionPolicyCommand({ ResourceArn });
    expect((await sluice.sns.send(get)).DataProtectionPolicy).toBe("");
  });
});

describe("subscriptions", () => {
  test("a queue is subscribed once; the subscription is found, listed and ended", async () => {
    const TopicArn = await newTopic();
    const { arn: Endpoint } = await newQueue();
    const SubscriptionArn = await subscribe(TopicArn, Endpoint);
    expect(SubscriptionArn).toMatch(new RegExp(`^${TopicArn}:[0-9a-f-]{36}$`));
    expect(await subscribe(TopicArn, Endpoint)).toBe(SubscriptionArn);
    const shown = { SubscriptionArn, Owner: ACCOUNT, Protocol: "sqs", Endpoint, TopicArn };
    const byTopic = () => sluice.sns.send(new ListSubscriptionsByTopicCommand({ TopicArn }));
    expect((await byTopic()).Subscriptions).toEqual([shown]);
    const all = await sluice.sns.send(new ListSubscriptionsCommand({}));
    expect(all.Subscriptions).toContainEqual(shown);
    const attributes = await sluice.sns.send(
      new GetSubscriptionAttributesCommand({ SubscriptionArn }),
    );
    expect(attributes.Attributes).toMatchObject({
      ...shown,
      PendingConfirmation: "false",
      RawMessageDelivery: "true",
    });
    const ofAnother = { SubscriptionArn: SubscriptionArn.replace(TopicArn, await newTopic()) };
    await sluice.sns.send(new UnsubscribeCommand(ofAnother));
    expect((await byTopic()).Subscriptions).toEqual([shown]);
    const wrong = new GetSubscriptionAttributesCommand(ofAnother);
    expect(await refusal(sluice.sns.send(wrong))).toBe("NotFoundException 404");
    await sluice.sns.send(new UnsubscribeCommand({ SubscriptionArn }));
    await sluice.sns.send(new UnsubscribeCommand({ SubscriptionArn }));
    expect((await byTopic()).Subscriptions).toEqual([]);
    const get = new GetSubscriptionAttributesCommand({ SubscriptionArn });
    expect(await refusal(sluice.sns.send(get))).toBe("NotFoundException 404");
  });

  test.each(["http", "https", "email", "sms", "lambda", "firehose", "application", "x"])(
    "the protocol %s is refused",
    async (Protocol) => {
      const TopicArn = await newTopic();
      const call = new SubscribeCommand({ TopicArn, Protocol, Endpoint: "https://example.com/" });
      expect(await refusal(sluice.sns.send(call))).toBe("InvalidParameterException 400");
    },
  );

  test("nobody has a token to confirm with", async () => {
    const TopicArn = await newTopic();
    const call = new ConfirmSubscriptionCommand({ TopicArn, Token: "2336412f37" });
    expect(await refusal(sluice.sns.send(call))).toBe("InvalidParameterException 400");
  });

  test("what a queue cannot be subscribed to or with is told by its name", async () => {
    const TopicArn = await newTopic();
    const QueueName = `${newName("queue")}.fifo`;
    await sluice.sqs.send(new CreateQueueCommand({ QueueName, Attributes: { FifoQueue: "true" } }));
    const fifo = `arn:aws:sqs:${REGION}:${ACCOUNT}:${QueueName}`;
    await expect(subscribe(TopicArn, fifo)).rejects.toThrow(
      "Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
    );
    const { arn } = await newQueue();
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: `${arn}-absent` });
    const refused = "Invalid parameter: RedrivePolicy: there is no queue";
    await expect(subscribe(TopicArn, arn, { RedrivePolicy })).rejects.toThrow(refused);
    const SubscriptionArn = await subscribe(TopicArn, arn);
    const set = new SetSubscriptionAttributesCommand({
      SubscriptionArn,
      AttributeName: "RedrivePolicy",
      AttributeValue: RedrivePolicy,
    });
    await expect(sluice.sns.send(set)).rejects.toThrow(refused);
  });

  test("what cannot be an attribute of a subscription is refused", async () => {
    const SubscriptionArn = await subscribe(await newTopic(), (await newQueue()).arn);
    for (const [AttributeName, AttributeValue] of [
      ["Nonsense", "1"],
      ["RawMessageDelivery", "maybe"],
      ["FilterPolicyScope", "Both"],
      ["FilterPolicy", "{"],
      ["RedrivePolicy", '{"deadLetterTargetArn":"nowhere"}'],
    ]) {
      const call = new SetSubscriptionAttributesCommand({
        SubscriptionArn,
        AttributeName,
        AttributeValue,
      });
      expect(await refusal(sluice.sns.send(call))).toBe("InvalidParameterException 400");
    }
  });
});

describe("publishing", () => {
  test("a subject of 50 characters that take two units of UTF-16 each is taken, one of 100 is not", async () => {
    const TopicArn = await newTopic();
    const publish = async (length: number) =>
      await sluice.sns.send(
        new PublishCommand({ TopicArn, Message: "m", Subject: "🚰".repeat(length) }),
      );
    expect(await publish(50)).toHaveProperty("MessageId");
    await expect(publish(100)).rejects.toThrow("Subject");
  });

  test("a message reaches every subscribed queue, with its attributes", async () => {
    const TopicArn = await newTopic();
    const queues = [await newQueue(), await newQueue()];
    for (const { arn } of queues) await subscribe(TopicArn, arn);
    const { MessageId } = await sluice.sns.send(
      new PublishCommand({
        TopicArn,
        Message: "<hello> & 🚰",
        Subject: "Greeting",
        MessageGroupId: "tenant-1",
        MessageAttributes: {
          kind: { DataType: "String", StringValue: "greeting" },
          list: { DataType: "String.Array", StringValue: '["a","b"]' },
          label: { DataType: "String.  my label.", StringValue: "x" },
          bytes: { DataType: "Binary", BinaryValue: new Uint8Array([1, 2, 3]) },
        },
      }),
    );
    for (const { url } of queues) {
      expect(await receive(url)).toMatchObject([
        {
          MessageId,
          Body: "<hello> & 🚰",
          MessageAttributes: {
            kind: { DataType: "String", StringValue: "greeting" },
            list: { DataType: "String.Array", StringValue: '["a","b"]' },
            label: { DataType: "String.  my label.", StringValue: "x" },
            bytes: { DataType: "Binary", BinaryValue: new Uint8Array([1, 2, 3]) },
          },
          Attributes: { MessageGroupId: "tenant-1" },
        },
      ]);
    }
  });

  test.each([
    ["a topic", {}, {}],
    ["a topic with a filter", {}, { FilterPolicy: '{"kind":[{"exists":false}]}' }],
    ["a FIFO topic", { FifoTopic: "true", ContentBasedDeduplication: "true" }, {}],
  ])("notifications of %s are signed by the version that it has", async (_, kind, settings) => {
    const isFifo = "FifoTopic" in kind;
    const { TopicArn } = await sluice.sns.send(
      new CreateTopicCommand({
        Name: `${newName("topic")}${isFifo ? ".fifo" : ""}`,
        Attributes: { ...kind, SignatureVersion: "2" },
      }),
    );
    const { url, arn } = await newQueue();
    const SubscriptionArn = await subscribe(TopicArn!, arn, settings);
    const publish = async (Message: string) => {
      await sluice.sns.send(
        new PublishCommand({ TopicArn, Message, ...(isFifo && { MessageGroupId: "g" }) }),
      );
      const [message] = await receive(url);
      await sluice.sqs.send(
        new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: message?.ReceiptHandle }),
      );
      const notification = JSON.parse(message?.Body ?? "") as Record<string, string>;
      const { UnsubscribeURL, SigningCertURL, Signature, SignatureVersion } = notification;
      expect(UnsubscribeURL).toContain(`SubscriptionArn=${SubscriptionArn}`);
      const certificate = await fetch(sluice.url + new URL(SigningCertURL!).pathname);
      const text = ["Message", "MessageId", "Timestamp", "TopicArn", "Type"]
        .map((name) => `${name}\n${notification[name]}\n`)
        .join("");
      const isSigned = verify(
        SignatureVersion === "2" ? "sha256" : "sha1",
        Buffer.from(text),
        new X509Certificate(await certificate.text()).publicKey,
        Buffer.from(Signature!, "base64"),
      );
      return { SignatureVersion, isSigned };
    };
    expect(await publish("a")).toEqual({ SignatureVersion: "2", isSigned: true });
    await sluice.sns.send(
      new SetTopicAttributesCommand({
        TopicArn,
        AttributeName: "SignatureVersion",
        AttributeValue: "1",
      }),
    );
    expect(await publish("b")).toEqual({ SignatureVersion: "1", isSigned: true });
  });

  test("of a message for several protocols a queue gets its own", async () => {
    const TopicArn = await newTopic();
    const { url, arn } = await newQueue();
    await subscribe(TopicArn, arn);
    const publish = (Message: string) =>
      sluice.sns.send(new PublishCommand({ TopicArn, Message, MessageStructure: "json" }));
    await publish('{"default":"for all","sqs":"for queues"}');
    await publish('{"default":"for all","email":"for mail"}');
    const bodies: (string | undefined)[] = [];
    await publish('{"default":"first","default":"last"}');
    while (bodies.length < 3) bodies.push(...(await receive(url)).map(({ Body }) => Body));
    expect(bodies).toEqual(["for queues", "for all", "last"]);
    expect(await refusal(publish('{"sqs":"no default"}'))).toBe("InvalidParameterException 400");
    expect(await refusal(publish("no json"))).toBe("InvalidParameterException 400");
  });

  test("a message of any other structure than json is what it is", async () => {
    const TopicArn = await newTopic();
    const { url, arn } = await newQueue();
    await subscribe(TopicArn, arn);
    for (const MessageStructure of ["string", "raw"])
      await sluice.sns.send(
        new PublishCommand({ TopicArn, Message: MessageStructure, MessageStructure }),
      );
    const bodies: (string | undefined)[] = [];
    while (bodies.length < 2) bodies.push(...(await receive(url)).map(({ Body }) => Body));
    expect(bodies).toEqual(["string", "raw"]);
  });

  test("a batch does what it can, and tells the rest of each entry", async () => {
    const TopicArn = await newTopic();
    const { url, arn } = await newQueue();
    await subscribe(TopicArn, arn);
    const { Successful, Failed } = await sluice.sns.send(
      new PublishBatchCommand({
        TopicArn,
        PublishBatchRequestEntries: [
          { Id: "good", Message: "first" },
          { Id: "characters", Message: "a\u0001b" },
          { Id: "fine", Message: "second" },
        ],
      }),
    );
    expect(Successful?.map(({ Id }) => Id)).toEqual(["good", "fine"]);
    expect(Failed?.map(({ Id, Code, SenderFault }) => [Id, Code, SenderFault])).toEqual([
      ["characters", "InvalidParameter", true],
    ]);
    expect((await receive(url)).map(({ Body }) => Body)).toEqual(["first", "second"]);
  });

  const text = { DataType: "String" };
  test.each([
    ["its subject", { Subject: "two\nlines" }, "Invalid parameter: Subject"],
    ["an attribute", { MessageAttributes: { a: text } }, "must contain non-empty"],
    ["its structure", { MessageStructure: "json" }, "JSON message body failed to parse"],
    ["what is for FIFO topics", { MessageDeduplicationId: "1" }, "MessageDeduplicationId"],
  ])("a batch with a message that is wrong in %s is refused as a whole", async (_, given, said) => {
    const TopicArn = await newTopic();
    const { url, arn } = await newQueue();
    await subscribe(TopicArn, arn);
    const publish = (wrong: object) =>
      sluice.sns.send(
        new PublishBatchCommand({
          TopicArn,
          PublishBatchRequestEntries: [
            { Id: "good", Message: "refused" },
            { Id: "bad", Message: "x", ...wrong },
          ],
        }),
      );
    await expect(publish(given)).rejects.toThrow(said);
    await sluice.sns.send(new PublishCommand({ TopicArn, Message: "the first one" }));
    expect((await receive(url)).map(({ Body }) => Body)).toEqual(["the first one"]);
  });
});

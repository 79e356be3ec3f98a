import { createHash } from "node:crypto";

import {
  AddPermissionCommand,
  CancelMessageMoveTaskCommand,
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListDeadLetterSourceQueuesCommand,
  ListMessageMoveTasksCommand,
  ListQueuesCommand,
  ListQueueTagsCommand,
  PurgeQueueCommand,
  ReceiveMessageCommand,
  RemovePermissionCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  StartMessageMoveTaskCommand,
  TagQueueCommand,
  UntagQueueCommand,
  type Message,
  type QueueAttributeName,
} from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { ACCOUNT, refusal, REGION, Sluice } from "./sluice.ts";

let sluice: Sluice;
beforeAll(async () => {
  sluice = await Sluice.start();
});
afterAll(() => sluice[Symbol.asyncDispose]());

let names = 0;
async function newQueue(Attributes: Record<string, string> = {}): Promise<string> {
  names += 1;
  const { QueueUrl } = await sluice.sqs.send(
    new CreateQueueCommand({ QueueName: `queue-${names}`, Attributes }),
  );
  return QueueUrl!;
}

async function send(QueueUrl: string, MessageBody: string): Promise<string> {
  const { MessageId } = await sluice.sqs.send(new SendMessageCommand({ QueueUrl, MessageBody }));
  return MessageId!;
}

async function receive(
  QueueUrl: string,
  options: Partial<ConstructorParameters<typeof ReceiveMessageCommand>[0]> = {},
): Promise<Message[]> {
  const { Messages = [] } = await sluice.sqs.send(
    new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, ...options }),
  );
  return Messages;
}

async function attributesOf(QueueUrl: string, ...AttributeNames: QueueAttributeName[]) {
  const { Attributes = {} } = await sluice.sqs.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames }),
  );
  return Attributes;
}

const arnOf = (url: string) => `arn:aws:sqs:${REGION}:${ACCOUNT}:${url.split("/").at(-1)}`;

describe("queues", () => {
  test("a queue is created under a URL of the host that was asked", async () => {
    const url = await newQueue();
    expect(url).toMatch(new RegExp(`^${sluice.url}/${ACCOUNT}/queue-\\d+$`));
    const QueueName = url.split("/").at(-1)!;
    expect((await sluice.sqs.send(new GetQueueUrlCommand({ QueueName }))).QueueUrl).toBe(url);
  });

  test("a queue is named by its bare name as well, in place of its URL", async () => {
    const QueueUrl = (await newQueue()).split("/").at(-1)!;
    await send(QueueUrl, "hello");
    const [message] = await receive(QueueUrl, { WaitTimeSeconds: 10 });
    expect(message?.Body).toBe("hello");
    expect(await attributesOf(QueueUrl, "QueueArn")).toEqual({ QueueArn: arnOf(QueueUrl) });
    expect(await refusal(send("absent", "hello"))).toBe("QueueDoesNotExist 400");
  });

  test("creating it again with the same or fewer attributes finds it; with others it is refused", async () => {
    const QueueName = "again";
    const create = (Attributes: Record<string, string>) =>
      sluice.sqs.send(new CreateQueueCommand({ QueueName, Attributes }));
    const { QueueUrl } = await create({ VisibilityTimeout: "7", DelaySeconds: "0" });
    expect((await create({ VisibilityTimeout: "7" })).QueueUrl).toBe(QueueUrl);
    expect((await create({})).QueueUrl).toBe(QueueUrl);
    expect(await refusal(create({ VisibilityTimeout: "8" }))).toBe("QueueNameExists 400");
  });

  test("attributes are shown as they were set, and no others unless asked for", async () => {
    const url = await newQueue({ DelaySeconds: "3", MessageRetentionPeriod: "120" });
    expect(await attributesOf(url)).toEqual({});
    expect(await attributesOf(url, "All")).toEqual({
      QueueArn: arnOf(url),
      ApproximateNumberOfMessages: "0",
      ApproximateNumberOfMessagesDelayed: "0",
      ApproximateNumberOfMessagesNotVisible: "0",
      CreatedTimestamp: expect.stringMatching(/^\d{10}$/),
      LastModifiedTimestamp: expect.stringMatching(/^\d{10}$/),
      DelaySeconds: "3",
      MaximumMessageSize: "1048576",
      MessageRetentionPeriod: "120",
      ReceiveMessageWaitTimeSeconds: "0",
      VisibilityTimeout: "30",
      SqsManagedSseEnabled: "false",
    });
  });

  test("attributes are taken at either end of what they may be", async () => {
    const least = {
      DelaySeconds: "0",
      MaximumMessageSize: "1024",
      MessageRetentionPeriod: "60",
      ReceiveMessageWaitTimeSeconds: "0",
      VisibilityTimeout: "0",
      KmsDataKeyReusePeriodSeconds: "60",
    };
    const most = {
      DelaySeconds: "900",
      MaximumMessageSize: "1048576",
      MessageRetentionPeriod: "1209600",
      ReceiveMessageWaitTimeSeconds: "20",
      VisibilityTimeout: "43200",
      KmsDataKeyReusePeriodSeconds: "86400",
    };
    for (const Attributes of [least, most])
      expect(await attributesOf(await newQueue(Attributes), "All")).toMatchObject(Attributes);
  });

  test("what has no meaning here is kept, so that tools see no drift", async () => {
    const Policy = JSON.stringify({ Version: "2012-10-17", Statement: [] });
    const url = await newQueue({ KmsMasterKeyId: "alias/aws/sqs", SqsManagedSseEnabled: "true" });
    await sluice.sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { Policy } }));
    const kept = { Policy, KmsMasterKeyId: "alias/aws/sqs", SqsManagedSseEnabled: "true" };
    const shown = { ...kept, KmsDataKeyReusePeriodSeconds: "300" };
    expect(await attributesOf(url, "All")).toMatchObject(shown);
    await sluice.sqs.send(
      new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { Policy: "" } }),
    );
    expect(await attributesOf(url, "Policy")).toEqual({});
  });

  test("how long a key is used is shown of a queue that has one, or was told another time than the default", async () => {
    const QueueUrl = await newQueue();
    const shownWith = async (Attributes: Record<string, string>) => {
      await sluice.sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }));
      return await attributesOf(QueueUrl, "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds");
    };
    const key = { KmsMasterKeyId: "alias/aws/sqs" };
    const seconds = (KmsDataKeyReusePeriodSeconds: string) => ({ KmsDataKeyReusePeriodSeconds });
    expect(await shownWith({ ...key, ...seconds("600") })).toEqual({ ...key, ...seconds("600") });
    expect(await shownWith(seconds("300"))).toEqual({ ...key, ...seconds("300") });
    // The key is taken away, and the time set back.
    expect(await shownWith({ KmsMasterKeyId: "", ...seconds("300") })).toEqual({});
    expect(await shownWith(seconds("600"))).toEqual(seconds("600"));

    const create = () =>
      sluice.sqs.send(new CreateQueueCommand({ QueueName: "no-key", Attributes: seconds("300") }));
    expect((await create()).QueueUrl).toBe((await create()).QueueUrl);
  });

  test("true and false are read in any case", async () => {
    const QueueName = "any-case.fifo";
    const create = (text: string) =>
      sluice.sqs.send(
        new CreateQueueCommand({
          QueueName,
          Attributes: {
            FifoQueue: text,
            ContentBasedDeduplication: text,
            SqsManagedSseEnabled: text,
          },
        }),
      );
    const { QueueUrl } = await create("True");
    const shown = {
      FifoQueue: "true",
      ContentBasedDeduplication: "true",
      SqsManagedSseEnabled: "true",
    };
    expect(await attributesOf(QueueUrl!, "All")).toMatchObject(shown);
    expect((await create("true")).QueueUrl).toBe(QueueUrl);
    expect((await create("TRUE")).QueueUrl).toBe(QueueUrl);
    const Attributes = {
      FifoQueue: "True",
      ContentBasedDeduplication: "False",
      SqsManagedSseEnabled: "False",
    };
    await sluice.sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }));
    expect(await attributesOf(QueueUrl!, "All")).toMatchObject({
      ...shown,
      ContentBasedDeduplication: "false",
      SqsManagedSseEnabled: "false",
    });
  });

  test("a list is paged only for those who ask for pages", async () => {
    for (const suffix of ["a", "b", "c"])
      await sluice.sqs.send(new CreateQueueCommand({ QueueName: `paged-${suffix}` }));
    const QueueNamePrefix = "paged-";
    const all = await sluice.sqs.send(new ListQueuesCommand({ QueueNamePrefix }));
    expect(all.QueueUrls).toHaveLength(3);
    expect(all.NextToken).toBeUndefined();
    const first = await sluice.sqs.send(new ListQueuesCommand({ QueueNamePrefix, MaxResults: 2 }));
    expect(first.QueueUrls).toHaveLength(2);
    const { NextToken } = first;
    const last = await sluice.sqs.send(
      new ListQueuesCommand({ QueueNamePrefix, MaxResults: 2, NextToken }),
    );
    expect(last.QueueUrls).toEqual([sluice.queueUrl("paged-c")]);
    expect(last.NextToken).toBeUndefined();
  });

  test("nor by how much is kept of each", async () => {
    const { sql } = sluice.database;
    await sql`
      INSERT INTO queues (account, name, tags)
      SELECT 0, 'large' || n, (SELECT jsonb_object_agg('key' || key, repeat('€', 256)) FROM generate_series(1, 50) key)
      FROM generate_series(1, 150) n`;
    const { QueueUrls } = await sluice.sqs.send(
      new ListQueuesCommand({ QueueNamePrefix: "large" }),
    );
    expect(QueueUrls).toHaveLength(150);
  });

  test("a deleted queue does not exist", async () => {
    const QueueUrl = await newQueue();
    await sluice.sqs.send(new DeleteQueueCommand({ QueueUrl }));
    expect(await refusal(receive(QueueUrl))).toBe("QueueDoesNotExist 400");
    expect(await refusal(sluice.sqs.send(new DeleteQueueCommand({ QueueUrl })))).toBe(
      "QueueDoesNotExist 400",
    );
  });

  test("what goes wrong within is told as such, and to the log", async () => {
    await sluice.database.sql`ALTER TABLE queues ADD CONSTRAINT refuses CHECK (name <> 'refused')`;
    const create = new CreateQueueCommand({ QueueName: "refused" });
    expect(await refusal(sluice.sqs.send(create))).toBe("InternalFailure 500");
    expect(sluice.complaints.splice(0)).toMatchObject([{ level: "error" }]);
  });

  test("a purge leaves nothing", async () => {
    const QueueUrl = await newQueue();
    await send(QueueUrl, "gone");
    await sluice.sqs.send(new PurgeQueueCommand({ QueueUrl }));
    expect(await receive(QueueUrl)).toEqual([]);
  });

  test("tags are added, listed and taken away", async () => {
    const QueueUrl = await newQueue();
    const tagsOf = async () => (await sluice.sqs.send(new ListQueueTagsCommand({ QueueUrl }))).Tags;
    await sluice.sqs.send(new TagQueueCommand({ QueueUrl, Tags: { team: "checkout", tier: "1" } }));
    await sluice.sqs.send(new TagQueueCommand({ QueueUrl, Tags: { tier: "2" } }));
    expect(await tagsOf()).toEqual({ team: "checkout", tier: "2" });
    // Characters are counted as the native API does, not by what JavaScript stores them in.
    const wide = { ["🚰".repeat(128)]: "🚰".repeat(256) };
    await sluice.sqs.send(new TagQueueCommand({ QueueUrl, Tags: wide }));
    expect(await tagsOf()).toEqual({ team: "checkout", tier: "2", ...wide });
    await sluice.sqs.send(new UntagQueueCommand({ QueueUrl, TagKeys: Object.keys(wide) }));
    await sluice.sqs.send(new UntagQueueCommand({ QueueUrl, TagKeys: ["team", "tier"] }));
    expect(await tagsOf()).toBeUndefined();
  });

  test("permissions are statements of the policy, by their label", async () => {
    const QueueUrl = await newQueue();
    const add = () =>
      sluice.sqs.send(
        new AddPermissionCommand({
          QueueUrl,
          Label: "senders",
          AWSAccountIds: ["111122223333"],
          Actions: ["SendMessage"],
        }),
      );
    await add();
    const { Policy } = await attributesOf(QueueUrl, "Policy");
    expect(JSON.parse(Policy!)).toMatchObject({
      Statement: [
        {
          Sid: "senders",
          Principal: { AWS: "arn:aws:iam::111122223333:root" },
          Action: "SQS:SendMessage",
          Resource: arnOf(QueueUrl),
        },
      ],
    });
    expect(await refusal(add())).toBe("InvalidParameterValue 400");
    const remove = new RemovePermissionCommand({ QueueUrl, Label: "senders" });
    await sluice.sqs.send(remove);
    expect(await attributesOf(QueueUrl, "Policy")).toEqual({});
  });
});

describe("messages", () => {
  test("what is sent is received: body, attributes of each type, trace header", async () => {
    const QueueUrl = await newQueue();
    const MessageBody = 'with <xml>, "quotes", a \t tab, \r\n a line and 🚰';
    const MessageAttributes = {
      text: { DataType: "String", StringValue: "värde" },
      "count.total": { DataType: "Number.int", StringValue: "12" },
      bytes: { DataType: "Binary.png", BinaryValue: new Uint8Array([0, 255, 128]) },
    };
    const trace = "Root=1-5759e988-bd862e3fe1be46a994272793";
    const sent = await sluice.sqs.send(
      new SendMessageCommand({
        QueueUrl,
        MessageBody,
        MessageAttributes,
        MessageGroupId: "tenant",
        MessageSystemAttributes: { AWSTraceHeader: { DataType: "String", StringValue: trace } },
      }),
    );
    expect(sent.MD5OfMessageSystemAttributes).toMatch(/^[0-9a-f]{32}$/);
    const before = Date.now();
    const [message] = await receive(QueueUrl, {
      MessageAttributeNames: ["All"],
      MessageSystemAttributeNames: ["All"],
    });
    expect(message).toMatchObject({
      MessageId: sent.MessageId,
      Body: MessageBody,
      MessageAttributes,
      MD5OfMessageAttributes: sent.MD5OfMessageAttributes,
      Attributes: {
        AWSTraceHeader: trace,
        ApproximateFirstReceiveTimestamp: expect.stringMatching(/^\d{13}$/),
        ApproximateReceiveCount: "1",
        MessageGroupId: "tenant",
        SenderId: ACCOUNT,
        SentTimestamp: expect.stringMatching(/^\d{13}$/),
      },
    });
    const first = Number(message!.Attributes!.ApproximateFirstReceiveTimestamp);
    expect(Math.abs(first - before)).toBeLessThan(60_000);
  });

  test.each([
    ["none", [], []],
    ["one", ["a.one"], ["a.one"]],
    ["a prefix", ["a.*"], ["a.one", "a.two"]],
    ["a prefix that ends within a name", ["a.o.*"], ["a.one"]],
    ["all", ["All"], ["a.one", "a.two", "b"]],
    ["all, as a pattern", [".*"], ["a.one", "a.two", "b"]],
    ["all, as an asterisk", ["*"], ["a.one", "a.two", "b"]],
    ["one that is not there", ["c"], []],
  ])("of the attributes, %s: only what is asked for is shown", async (_, asked, shown) => {
    const QueueUrl = await newQueue({ VisibilityTimeout: "0" });
    const value = { DataType: "String", StringValue: "x" };
    await sluice.sqs.send(
      new SendMessageCommand({
        QueueUrl,
        MessageBody: "body",
        MessageAttributes: { "a.one": value, "a.two": value, b: value },
      }),
    );
    const [message] = await receive(QueueUrl, { MessageAttributeNames: asked });
    expect(Object.keys(message!.MessageAttributes ?? {}).sort()).toEqual(shown);
    expect(message!.Attributes).toBeUndefined();
  });

  test("the digest of attributes is the one that AWS' SDKs make of them, whatever their order", async () => {
    const QueueUrl = await newQueue();
    const text = { DataType: "String", StringValue: "värde" };
    const bytes = { DataType: "Binary.png", BinaryValue: new Uint8Array([0, 255, 128]) };
    const MessageAttributes = { text, bytes };
    // By the developer guide: of each, in order of the names, the lengths and bytes of name, type and value.
    const digest = createHash("md5");
    const add = (part: string | Uint8Array) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(Buffer.byteLength(part));
      digest.update(length).update(part);
    };
    for (const part of ["bytes", bytes.DataType]) add(part);
    digest.update(Buffer.of(2));
    add(bytes.BinaryValue);
    for (const part of ["text", text.DataType]) add(part);
    digest.update(Buffer.of(1));
    add(text.StringValue);
    const sent = await sluice.sqs.send(
      new SendMessageCommand({ QueueUrl, MessageBody: "x", MessageAttributes }),
    );
    expect(sent.MD5OfMessageAttributes).toBe(digest.digest("hex"));
  });

  test("a batch does what it can, and tells the rest of each entry", async () => {
    const QueueUrl = await newQueue({ MaximumMessageSize: "1024" });
    const { Successful, Failed } = await sluice.sqs.send(
      new SendMessageBatchCommand({
        QueueUrl,
        Entries: [
          { Id: "good", MessageBody: "first" },
          { Id: "late", MessageBody: "x", DelaySeconds: 901 },
          { Id: "large", MessageBody: "x".repeat(1_025) },
          { Id: "characters", MessageBody: "a\u0001b" },
          { Id: "fine", MessageBody: "second" },
        ],
      }),
    );
    expect(Successful?.map(({ Id }) => Id)).toEqual(["good", "fine"]);
    expect(Failed?.map(({ Id, Code, SenderFault }) => [Id, Code, SenderFault])).toEqual([
      ["late", "InvalidParameterValue", true],
      ["large", "InvalidParameterValue", true],
      ["characters", "InvalidMessageContents", true],
    ]);
    expect(Failed?.[1]?.Message).toBe(
      "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.",
    );
    expect((await receive(QueueUrl)).map(({ Body }) => Body).sort()).toEqual(["first", "second"]);
  });

  test("messages of one batch that are received one by one are each themselves", async () => {
    const QueueUrl = await newQueue();
    const { Successful = [] } = await sluice.sqs.send(
      new SendMessageBatchCommand({
        QueueUrl,
        Entries: ["a", "b", "c"].map((text) => ({ Id: text, MessageBody: text })),
      }),
    );
    const one = { MaxNumberOfMessages: 1, WaitTimeSeconds: 10 };
    const received = new Map<string, string>();
    for (const _ of Successful) {
      const [message] = await receive(QueueUrl, one);
      received.set(message!.MessageId!, message!.Body!);
    }
    expect(received).toEqual(new Map(Successful.map(({ Id, MessageId }) => [MessageId!, Id!])));
  });

  test("a batch has no list of what did not happen, as programs ask for it that AWS answers", async () => {
    const QueueUrl = await newQueue();
    const lists = (answer: { Successful?: unknown[]; Failed?: unknown[] }) => [
      answer.Successful?.length,
      answer.Failed?.length,
    ];
    const sendBatch = (...bodies: string[]) =>
      sluice.sqs.send(
        new SendMessageBatchCommand({
          QueueUrl,
          Entries: bodies.map((MessageBody, index) => ({ Id: String(index), MessageBody })),
        }),
      );
    expect(lists(await sendBatch("fine", "too"))).toEqual([2, undefined]);
    expect(lists(await sendBatch("\u0001"))).toEqual([undefined, 1]);
    const Entries = (await receive(QueueUrl)).map(({ ReceiptHandle }, index) => ({
      Id: String(index),
      ReceiptHandle,
      VisibilityTimeout: 60,
    }));
    const nonsense = [{ Id: "x", ReceiptHandle: "nonsense", VisibilityTimeout: 60 }];
    for (const Command of [ChangeMessageVisibilityBatchCommand, DeleteMessageBatchCommand]) {
      const call = (entries: typeof nonsense) =>
        sluice.sqs.send(new Command({ QueueUrl, Entries: entries }));
      expect(lists(await call(Entries as typeof nonsense))).toEqual([2, undefined]);
      expect(lists(await call(nonsense))).toEqual([undefined, 1]);
    }
  });

  test("a delayed message is there when its time has come", async () => {
    const QueueUrl = await newQueue();
    const delay = (MessageBody: string, DelaySeconds: number) =>
      sluice.sqs.send(new SendMessageCommand({ QueueUrl, MessageBody, DelaySeconds }));
    await delay("much later", 900);
    expect(await receive(QueueUrl)).toEqual([]);
    expect(await attributesOf(QueueUrl, "ApproximateNumberOfMessagesDelayed")).toEqual({
      ApproximateNumberOfMessagesDelayed: "1",
    });
    const began = performance.now();
    await delay("later", 1);
    expect(await receive(QueueUrl, { WaitTimeSeconds: 20 })).toMatchObject([{ Body: "later" }]);
    expect(performance.now() - began).toBeGreaterThan(990);
  });

  test("a deleted message is gone; a handle that is out of date is no error and deletes nothing", async () => {
    const QueueUrl = await newQueue({ VisibilityTimeout: "0" });
    await send(QueueUrl, "once");
    const [first] = await receive(QueueUrl);
    const [second] = await receive(QueueUrl, { VisibilityTimeout: 30 });
    await sluice.sqs.send(
      new DeleteMessageCommand({ QueueUrl, ReceiptHandle: first!.ReceiptHandle }),
    );
    expect(await attributesOf(QueueUrl, "ApproximateNumberOfMessagesNotVisible")).toEqual({
      ApproximateNumberOfMessagesNotVisible: "1",
    });
    const { ReceiptHandle } = second!;
    await sluice.sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
    await sluice.sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
    expect(await receive(QueueUrl, { WaitTimeSeconds: 1 })).toEqual([]);
  });

  test("of a batch of handles the wrong ones fail alone", async () => {
    const [QueueUrl, other] = [await newQueue(), await newQueue()];
    await send(QueueUrl, "here");
    await send(other, "elsewhere");
    const [here] = await receive(QueueUrl);
    const [elsewhere] = await receive(other);
    const entries = [
      { Id: "nonsense", ReceiptHandle: "nonsense" },
      { Id: "here", ReceiptHandle: here!.ReceiptHandle },
      { Id: "elsewhere", ReceiptHandle: elsewhere!.ReceiptHandle },
    ];
    const extended = await sluice.sqs.send(
      new ChangeMessageVisibilityBatchCommand({
        QueueUrl,
        Entries: [
          { Id: "long", ReceiptHandle: here!.ReceiptHandle, VisibilityTimeout: 43_201 },
          ...entries.map((entry) => ({ ...entry, VisibilityTimeout: 60 })),
        ],
      }),
    );
    expect(extended.Successful).toEqual([{ Id: "here" }]);
    expect(extended.Failed?.map(({ Id, Code }) => `${Id} ${Code}`)).toEqual([
      "long InvalidParameterValue",
      "nonsense ReceiptHandleIsInvalid",
      "elsewhere ReceiptHandleIsInvalid",
    ]);
    const deleted = await sluice.sqs.send(
      new DeleteMessageBatchCommand({ QueueUrl, Entries: entries }),
    );
    expect(deleted.Successful).toEqual([{ Id: "here" }]);
    expect(deleted.Failed?.map(({ Code }) => Code)).toEqual([
      "ReceiptHandleIsInvalid",
      "ReceiptHandleIsInvalid",
    ]);
  });

  test("visibility 0 gives a message back; the handle no longer changes anything", async () => {
    const QueueUrl = await newQueue();
    await send(QueueUrl, "again");
    const [first] = await receive(QueueUrl);
    const { ReceiptHandle } = first!;
    const change = (VisibilityTimeout: number) =>
      sluice.sqs.send(
        new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout }),
      );
    await change(0);
    const [second] = await receive(QueueUrl, {
      MessageSystemAttributeNames: ["ApproximateReceiveCount"],
    });
    expect(second!.Attributes).toEqual({ ApproximateReceiveCount: "2" });
    // It is done already, and the second receive goes on.
    await change(0);
    expect(await receive(QueueUrl)).toEqual([]);
    await expect(change(30)).rejects.toMatchObject({
      name: "InvalidParameterValue",
      message: expect.stringMatching(/Message does not exist or is not available/),
    });
  });

  test("twelve hours from its receive a message cannot be hidden longer", async () => {
    const QueueUrl = await newQueue();
    await send(QueueUrl, "held");
    const [message] = await receive(QueueUrl);
    const { sql } = sluice.database;
    await sql`UPDATE slices SET received_at = received_at - interval '1 hour'`;
    const { ReceiptHandle } = message!;
    const call = new ChangeMessageVisibilityCommand({
      QueueUrl,
      ReceiptHandle,
      VisibilityTimeout: 43_200,
    });
    await expect(sluice.sqs.send(call)).rejects.toMatchObject({
      name: "InvalidParameterValue",
      message: expect.stringContaining("beyond the limit [43200 seconds]"),
    });
  });

  test("what is set of a queue counts for the next message", async () => {
    const QueueUrl = await newQueue();
    await send(QueueUrl, "x".repeat(1_025));
    const Attributes = { MaximumMessageSize: "1024" };
    await sluice.sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }));
    expect(await refusal(send(QueueUrl, "x".repeat(1_025)))).toBe("InvalidParameterValue 400");
  });

  test("a long poll ends as soon as there is a message", async () => {
    const QueueUrl = await newQueue();
    const waiting = receive(QueueUrl, { WaitTimeSeconds: 20 });
    await send(QueueUrl, "awaited");
    expect(await waiting).toHaveLength(1);
  });

  test("a repeat of a call under its number stores nothing again", async () => {
    const QueueUrl = await newQueue();
    const call = async (MessageBody: string) => {
      const response = await fetch(sluice.url, {
        method: "POST",
        headers: {
          "content-type": "application/x-amz-json-1.0",
          "x-amz-target": "AmazonSQS.SendMessage",
          "amz-sdk-invocation-id": "0b7f0a52-6e4f-4c11-9d5b-3d6a1f0f1f11",
        },
        body: JSON.stringify({ QueueUrl, MessageBody }),
      });
      return ((await response.json()) as { MessageId: string }).MessageId;
    };
    expect(await call("once")).toBe(await call("once"));
    expect(await receive(QueueUrl)).toHaveLength(1);
    await call("another under its number");
    expect(await receive(QueueUrl)).toHaveLength(1);
  });
});

describe("dead letters", () => {
  test("go to the queue of the policy, say where they are from, and are moved back", async () => {
    const deadLetters = await newQueue();
    const source = await newQueue({
      VisibilityTimeout: "0",
      RedrivePolicy: JSON.stringify({
        deadLetterTargetArn: arnOf(deadLetters),
        maxReceiveCount: "1",
      }),
    });
    expect(await attributesOf(source, "RedrivePolicy")).toEqual({
      RedrivePolicy: JSON.stringify({
        deadLetterTargetArn: arnOf(deadLetters),
        maxReceiveCount: 1,
      }),
    });
    const listed = await sluice.sqs.send(
      new ListDeadLetterSourceQueuesCommand({ QueueUrl: deadLetters }),
    );
    expect(listed.queueUrls).toEqual([source]);
    await send(source, "fails");
    expect(await receive(source)).toHaveLength(1);
    expect(await receive(source)).toHaveLength(0);
    const [letter] = await receive(deadLetters, {
      VisibilityTimeout: 0,
      WaitTimeSeconds: 5,
      MessageSystemAttributeNames: ["DeadLetterQueueSourceArn"],
    });
    expect(letter!.Attributes).toEqual({ DeadLetterQueueSourceArn: arnOf(source) });

    const SourceArn = arnOf(deadLetters);
    const { TaskHandle } = await sluice.sqs.send(new StartMessageMoveTaskCommand({ SourceArn }));
    await vi.waitFor(async () => {
      const { Results } = await sluice.sqs.send(new ListMessageMoveTasksCommand({ SourceArn }));
      expect(Results).toMatchObject([
        { Status: "COMPLETED", SourceArn, ApproximateNumberOfMessagesMoved: 1 },
      ]);
    }, 10_000);
    expect(await receive(source)).toHaveLength(1);
    expect(await refusal(sluice.sqs.send(new CancelMessageMoveTaskCommand({ TaskHandle })))).toBe(
      "UnsupportedOperation 400",
    );
  });

  test("while they are moved back nobody else moves them", async () => {
    const deadLetters = await newQueue();
    const SourceArn = arnOf(deadLetters);
    await newQueue({
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: SourceArn, maxReceiveCount: 1 }),
    });
    // For a minute, one a second.
    for (let text = 0; text < 60; text += 1) await send(deadLetters, String(text));
    const start = () =>
      sluice.sqs.send(
        new StartMessageMoveTaskCommand({
          SourceArn,
          MaxNumberOfMessagesPerSecond: 1,
          DestinationArn: arnOf(other),
        }),
      );
    const other = await newQueue();
    const { TaskHandle } = await start();
    expect(await refusal(start())).toBe("InvalidParameterValue 400");
    const running = await sluice.sqs.send(new ListMessageMoveTasksCommand({ SourceArn }));
    expect(running.Results).toMatchObject([
      { TaskHandle, DestinationArn: arnOf(other), MaxNumberOfMessagesPerSecond: 1 },
    ]);
    await sluice.sqs.send(new CancelMessageMoveTaskCommand({ TaskHandle }));
    const { Results } = await sluice.sqs.send(new ListMessageMoveTasksCommand({ SourceArn }));
    expect(Results).toMatchObject([{ Status: "CANCELLED" }]);
    const { TaskHandle: second } = await start();
    const statuses = async (MaxResults?: number) => {
      const list = new ListMessageMoveTasksCommand({ SourceArn, MaxResults });
      return (await sluice.sqs.send(list)).Results!.map(({ Status }) => Status);
    };
    expect(await statuses()).toEqual(["RUNNING"]);
    expect(await statuses(10)).toEqual(["RUNNING", "CANCELLED"]);
    await sluice.sqs.send(new CancelMessageMoveTaskCommand({ TaskHandle: second }));
  });

  test("a queue is the same one in whatever way its attributes are written", async () => {
    const [a, b] = [arnOf(await newQueue()), arnOf(await newQueue())];
    const policy = (maxReceiveCount: unknown) =>
      JSON.stringify({ maxReceiveCount, deadLetterTargetArn: a });
    const allows = (...sourceQueueArns: string[]) =>
      JSON.stringify({ redrivePermission: "byQueue", sourceQueueArns });
    const create = (QueueName: string, Attributes: Record<string, string>) =>
      refusal(sluice.sqs.send(new CreateQueueCommand({ QueueName, Attributes })));
    const first = {
      VisibilityTimeout: "030",
      RedrivePolicy: policy("5"),
      RedriveAllowPolicy: allows(a, b),
    };
    const second = {
      VisibilityTimeout: "30",
      RedrivePolicy: policy(5),
      RedriveAllowPolicy: allows(b, a),
    };
    for (const attributes of [first, first, second])
      expect(await create("written", attributes)).toBe("nothing");
    const others: Record<string, string>[] = [
      { VisibilityTimeout: "31" },
      { RedrivePolicy: policy("6") },
      { RedriveAllowPolicy: allows(a) },
      { Policy: "{}" },
    ];
    for (const other of others)
      expect(await create("written", { ...second, ...other })).toBe("QueueNameExists 400");
  });

  test("that a queue takes dead letters of all others is shown where it was said", async () => {
    const RedriveAllowPolicy = JSON.stringify({ redrivePermission: "allowAll" });
    const said = { QueueName: "allows-all", Attributes: { RedriveAllowPolicy } };
    for (let times = 1; times <= 2; times += 1) await sluice.sqs.send(new CreateQueueCommand(said));
    const url = sluice.queueUrl("allows-all");
    expect(await attributesOf(url, "RedriveAllowPolicy")).toEqual({ RedriveAllowPolicy });
    await sluice.sqs.send(
      new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { RedriveAllowPolicy: "" } }),
    );
    expect(await attributesOf(url, "RedriveAllowPolicy")).toEqual({});
  });

  test("a queue that takes no dead letters of others is refused as their destination", async () => {
    const closed = await newQueue({
      RedriveAllowPolicy: JSON.stringify({ redrivePermission: "denyAll" }),
    });
    expect(await attributesOf(closed, "RedriveAllowPolicy")).toEqual({
      RedriveAllowPolicy: JSON.stringify({ redrivePermission: "denyAll" }),
    });
    const policy = { deadLetterTargetArn: arnOf(closed), maxReceiveCount: 3 };
    const RedrivePolicy = JSON.stringify(policy);
    expect(await refusal(newQueue({ RedrivePolicy }))).toBe("InvalidParameterValue 400");
  });

  test("an empty policy opens a queue again, and takes a queue's dead-letter queue from it", async () => {
    const set = (QueueUrl: string, Attributes: Record<string, string>) =>
      sluice.sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }));
    const letters = await newQueue({
      RedriveAllowPolicy: JSON.stringify({ redrivePermission: "denyAll" }),
    });
    await set(letters, { RedriveAllowPolicy: "" });
    const policy = { deadLetterTargetArn: arnOf(letters), maxReceiveCount: 1_000 };
    const source = await newQueue({ RedrivePolicy: JSON.stringify(policy) });
    await set(source, { RedrivePolicy: "" });
    expect(await attributesOf(source, "RedrivePolicy")).toEqual({});
  });
});

import {
  CreateTopicCommand,
  PublishBatchCommand,
  PublishCommand,
  SubscribeCommand,
} from "@aws-sdk/client-sns";
import {
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
} from "@aws-sdk/client-sqs";
import { queueDefaults } from "@sluice/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ACCOUNT, refusal, REGION, Sluice } from "./sluice.ts";

/** These wait for the engine: they run as soon as it has FIFO queues. */
describe.skipIf(!("fifo" in queueDefaults))("FIFO queues", () => {
  let sluice: Sluice;
  beforeAll(async () => {
    sluice = await Sluice.start();
  });
  afterAll(() => sluice[Symbol.asyncDispose]());

  let names = 0;
  async function newQueue(attributes: Record<string, string> = {}): Promise<string> {
    names += 1;
    const { QueueUrl } = await sluice.sqs.send(
      new CreateQueueCommand({
        QueueName: `queue-${names}.fifo`,
        Attributes: { FifoQueue: "true", ...attributes },
      }),
    );
    return QueueUrl!;
  }

  test("show what they are", async () => {
    const QueueUrl = await newQueue({
      ContentBasedDeduplication: "true",
      DeduplicationScope: "messageGroup",
      FifoThroughputLimit: "perMessageGroupId",
    });
    const { Attributes } = await sluice.sqs.send(
      new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] }),
    );
    expect(Attributes).toMatchObject({
      FifoQueue: "true",
      ContentBasedDeduplication: "true",
      DeduplicationScope: "messageGroup",
      FifoThroughputLimit: "perMessageGroupId",
    });
  });

  test("keep the order of a group, and number what they take", async () => {
    const QueueUrl = await newQueue();
    const { Successful } = await sluice.sqs.send(
      new SendMessageBatchCommand({
        QueueUrl,
        Entries: ["a", "b", "c"].map((MessageBody) => ({
          Id: MessageBody,
          MessageBody,
          MessageGroupId: "group",
          MessageDeduplicationId: MessageBody,
        })),
      }),
    );
    const numbers = Successful!.map(({ SequenceNumber }) => SequenceNumber!);
    expect(numbers).toEqual([...numbers].sort());
    const { Messages } = await sluice.sqs.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: 10,
        MessageSystemAttributeNames: ["All"],
      }),
    );
    expect(Messages!.map(({ Body }) => Body)).toEqual(["a", "b", "c"]);
    expect(Messages![0]!.Attributes).toMatchObject({
      MessageGroupId: "group",
      MessageDeduplicationId: "a",
      SequenceNumber: numbers[0],
    });
    expect(Messages!.map(({ Attributes }) => Attributes!.SequenceNumber)).toEqual(numbers);
  });

  test("take a message of an id once", async () => {
    const QueueUrl = await newQueue();
    const send = () =>
      sluice.sqs.send(
        new SendMessageCommand({
          QueueUrl,
          MessageBody: "once",
          MessageGroupId: "group",
          MessageDeduplicationId: "id",
        }),
      );
    expect((await send()).MessageId).toBe((await send()).MessageId);
  });

  test("take a delete once more, as an SDK repeats it whose answer was lost", async () => {
    const QueueUrl = await newQueue({ ContentBasedDeduplication: "true" });
    for (const MessageBody of ["x", "y"])
      await sluice.sqs.send(
        new SendMessageCommand({ QueueUrl, MessageBody, MessageGroupId: "group" }),
      );
    const { Messages } = await sluice.sqs.send(
      new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 5 }),
    );
    const { ReceiptHandle } = Messages![0]!;
    for (let times = 1; times <= 2; times += 1)
      await sluice.sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
  });

  test("hand out the same again to a receive that is repeated under its attempt id", async () => {
    const QueueUrl = await newQueue({ ContentBasedDeduplication: "true" });
    const send = { QueueUrl, MessageBody: "x", MessageGroupId: "group" };
    await sluice.sqs.send(new SendMessageCommand(send));
    const receive = { QueueUrl, WaitTimeSeconds: 5, ReceiveRequestAttemptId: "attempt" };
    const idsOf = async () => {
      const { Messages = [] } = await sluice.sqs.send(new ReceiveMessageCommand(receive));
      return Messages.map(({ MessageId }) => MessageId);
    };
    const first = await idsOf();
    expect(first).toHaveLength(1);
    expect(await idsOf()).toEqual(first);
  });

  test("refuse a handle that is out of date", async () => {
    const QueueUrl = await newQueue({ VisibilityTimeout: "0", ContentBasedDeduplication: "true" });
    const send = { QueueUrl, MessageBody: "x", MessageGroupId: "group" };
    await sluice.sqs.send(new SendMessageCommand(send));
    const receive = new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 5 });
    const [first] = (await sluice.sqs.send(receive)).Messages!;
    await sluice.sqs.send(receive);
    const { ReceiptHandle } = first!;
    const call = sluice.sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
    expect(await refusal(call)).toBe("InvalidParameterValue 400");
    const giveBack = { QueueUrl, ReceiptHandle, VisibilityTimeout: 0 };
    expect(await refusal(sluice.sqs.send(new ChangeMessageVisibilityCommand(giveBack)))).toBe(
      "InvalidParameterValue 400",
    );
  });

  test.each([
    ["no group", { MessageDeduplicationId: "1" }, "MissingParameter 400"],
    ["nothing to tell it by", { MessageGroupId: "group" }, "InvalidParameterValue 400"],
    [
      "a delay of its own",
      { MessageGroupId: "group", MessageDeduplicationId: "1", DelaySeconds: 1 },
      "InvalidParameterValue 400",
    ],
  ])("refuse a message with %s", async (_, given, expected) => {
    const QueueUrl = await newQueue();
    const call = new SendMessageCommand({ QueueUrl, MessageBody: "x", ...given });
    expect(await refusal(sluice.sqs.send(call))).toBe(expected);
  });

  test.each([
    ["no group", { MessageDeduplicationId: "1" }],
    ["nothing to tell it by", { MessageGroupId: "group" }],
  ])("refuse a whole batch for a message with %s", async (_, given) => {
    const QueueUrl = await newQueue();
    const entry = (Id: string, more: object) => ({ Id, MessageBody: Id, ...more });
    const good = entry("good", { MessageGroupId: "group", MessageDeduplicationId: "2" });
    const Entries = [good, entry("bad", given)];
    const call = new SendMessageBatchCommand({ QueueUrl, Entries });
    expect(await refusal(sluice.sqs.send(call))).toBe("InvalidParameterValue 400");
    const { Messages } = await sluice.sqs.send(new ReceiveMessageCommand({ QueueUrl }));
    expect(Messages).toBeUndefined();
  });

  test("stay of their kind, which may be said again", async () => {
    const QueueUrl = await newQueue();
    const set = (FifoQueue: string) =>
      sluice.sqs.send(
        new SetQueueAttributesCommand({
          QueueUrl,
          Attributes: { FifoQueue, VisibilityTimeout: "7" },
        }),
      );
    await expect(set("false")).rejects.toThrow("Reason: Modifying queue type is not supported.");
    await set("true");
    const { Attributes } = await sluice.sqs.send(
      new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] }),
    );
    expect(Attributes).toMatchObject({ FifoQueue: "true", VisibilityTimeout: "7" });
  });
});

describe("FIFO topics", () => {
  let sluice: Sluice;
  beforeAll(async () => {
    sluice = await Sluice.start();
  });
  afterAll(() => sluice[Symbol.asyncDispose]());

  let names = 0;

  /** A FIFO topic with a queue that is subscribed to it. */
  async function newTopic({ raw = true, attributes = {}, queueKind = ".fifo" } = {}) {
    names += 1;
    const { TopicArn } = await sluice.sns.send(
      new CreateTopicCommand({
        Name: `topic-${names}.fifo`,
        Attributes: { FifoTopic: "true", ...attributes },
      }),
    );
    const QueueName = `of-topic-${names}${queueKind}`;
    const { QueueUrl } = await sluice.sqs.send(
      new CreateQueueCommand({
        QueueName,
        ...(queueKind !== "" && { Attributes: { FifoQueue: "true" } }),
      }),
    );
    const { SubscriptionArn } = await sluice.sns.send(
      new SubscribeCommand({
        TopicArn,
        Protocol: "sqs",
        Endpoint: `arn:aws:sqs:${REGION}:${ACCOUNT}:${QueueName}`,
        Attributes: { RawMessageDelivery: String(raw) },
      }),
    );
    return { TopicArn, QueueUrl, subscription: SubscriptionArn!.split(":").at(-1)! };
  }

  function message(text: string, group = "group") {
    return { Message: text, MessageGroupId: group, MessageDeduplicationId: text };
  }

  /** Receives this many and deletes them. */
  async function take(QueueUrl: string | undefined, count: number) {
    const taken = [];
    while (taken.length < count) {
      const { Messages = [] } = await sluice.sqs.send(
        new ReceiveMessageCommand({
          QueueUrl,
          MaxNumberOfMessages: 10,
          WaitTimeSeconds: 10,
          MessageSystemAttributeNames: ["All"],
        }),
      );
      for (const { ReceiptHandle } of Messages)
        await sluice.sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
      taken.push(...Messages);
    }
    return taken;
  }

  test("hand a group on in order, number what they take, and take an id once", async () => {
    const { TopicArn, QueueUrl } = await newTopic();
    const texts = ["a", "b", "c", "a"];
    const { Successful, Failed } = await sluice.sns.send(
      new PublishBatchCommand({
        TopicArn,
        PublishBatchRequestEntries: texts.map((text, index) => ({
          Id: String(index),
          ...message(text),
        })),
      }),
    );
    expect(Failed ?? []).toEqual([]);
    const numbers = Successful!.slice(0, 3).map(({ SequenceNumber }) => SequenceNumber!);
    expect(numbers).toEqual([...new Set(numbers)].sort());
    const answer = ({ MessageId, SequenceNumber }: (typeof Successful & object)[number]) => ({
      MessageId,
      SequenceNumber,
    });
    expect(answer(Successful![3]!)).toEqual(answer(Successful![0]!));
    const again = await sluice.sns.send(new PublishCommand({ TopicArn, ...message("b") }));
    expect(again).toMatchObject(answer(Successful![1]!));
    await sluice.sns.send(new PublishCommand({ TopicArn, ...message("d") }));
    const taken = await take(QueueUrl, 4);
    expect(taken.map(({ Body }) => Body)).toEqual(["a", "b", "c", "d"]);
    expect(taken[0]!.Attributes).toMatchObject({
      MessageGroupId: "group",
      MessageDeduplicationId: "a",
      SequenceNumber: expect.stringMatching(/^\d{20}$/),
    });
  });

  test("refuse a whole batch for a message that has no group, or nothing to tell it by", async () => {
    const { TopicArn, QueueUrl } = await newTopic();
    const publish = (...given: object[]) =>
      sluice.sns.send(
        new PublishBatchCommand({
          TopicArn,
          PublishBatchRequestEntries: given.map((each, index) => ({
            Id: String(index),
            Message: "x",
            ...each,
          })),
        }),
      );
    const whole = { MessageGroupId: "group", MessageDeduplicationId: "id" };
    for (const missing of ["MessageGroupId", "MessageDeduplicationId"]) {
      const call = publish(whole, { ...whole, [missing]: undefined });
      expect(await refusal(call)).toBe("InvalidParameterException 400");
    }
    await publish({ ...whole, Message: "the first one" });
    const [first] = await take(QueueUrl, 1);
    expect(first!.Body).toBe("the first one");
  });

  test("make an id of the text where they are told to", async () => {
    const { TopicArn } = await newTopic({ attributes: { ContentBasedDeduplication: "true" } });
    const publish = (Message: string) =>
      sluice.sns.send(new PublishCommand({ TopicArn, Message, MessageGroupId: "group" }));
    const first = await publish("same");
    expect((await publish("same")).MessageId).toBe(first.MessageId);
    expect((await publish("other")).MessageId).not.toBe(first.MessageId);
  });

  test("reach standard queues as well", async () => {
    const { TopicArn, QueueUrl } = await newTopic({ queueKind: "" });
    await sluice.sns.send(new PublishCommand({ TopicArn, ...message("m") }));
    const [taken] = await take(QueueUrl, 1);
    expect(taken).toMatchObject({ Body: "m", Attributes: { MessageGroupId: "group" } });
  });

  test.each([".fifo", ""])(
    "say in the notification the number of the publish (to a queue%s)",
    async (queueKind) => {
      const { TopicArn, QueueUrl } = await newTopic({ raw: false, queueKind });
      const { Successful = [] } = await sluice.sns.send(
        new PublishBatchCommand({
          TopicArn,
          PublishBatchRequestEntries: ["a", "b"].map((text) => ({ Id: text, ...message(text) })),
        }),
      );
      const taken = await take(QueueUrl, 2);
      const told = taken.map(({ Body }) => {
        const { Message, SequenceNumber } = JSON.parse(Body!) as Record<string, string>;
        return [Message, SequenceNumber];
      });
      expect(told).toEqual(Successful.map(({ Id, SequenceNumber }) => [Id, SequenceNumber]));
    },
  );

  test("say in the notification what is replayed, and when it was published", async () => {
    const { TopicArn, QueueUrl, subscription } = await newTopic({ raw: false });
    const call = async (method: string, path: string, body: object) => {
      const headers = { "content-type": "application/json" };
      const response = await fetch(sluice.url + path, {
        method,
        headers,
        body: JSON.stringify(body),
      });
      expect(response.ok, await response.text()).toBe(true);
    };
    await call("PATCH", `/v1/topics/${TopicArn!.split(":").at(-1)}`, { archive: { days: 1 } });
    await sluice.sns.send(new PublishCommand({ TopicArn, ...message("m") }));
    const [live] = await take(QueueUrl, 1);
    await call("POST", `/v1/subscriptions/${subscription}/replays`, { from: new Date(0) });
    const [again] = await take(QueueUrl, 1);
    const [first, second] = [live, again].map(
      (taken) => JSON.parse(taken!.Body!) as Record<string, unknown>,
    );
    expect(first).not.toHaveProperty("Replayed");
    expect(first).toHaveProperty("SequenceNumber");
    expect(second).toMatchObject({
      Replayed: true,
      Message: "m",
      MessageId: first!["MessageId"],
      SequenceNumber: first!["SequenceNumber"],
      Timestamp: first!["Timestamp"],
    });
  });

  test.each([
    ["no group", { MessageDeduplicationId: "1" }],
    ["nothing to tell it by", { MessageGroupId: "group" }],
    ["a group that is no text", { MessageGroupId: "a b", MessageDeduplicationId: "1" }],
  ])("refuse a message with %s", async (_, given) => {
    const { TopicArn } = await newTopic();
    const call = new PublishCommand({ TopicArn, Message: "x", ...given });
    expect(await refusal(sluice.sns.send(call))).toBe("InvalidParameterException 400");
  });
});

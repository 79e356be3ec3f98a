import {
  CreateQueueCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
} from "@aws-sdk/client-sqs";
import { queueDefaults } from "@sluice/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { refusal, Sluice } from "./sluice.ts";

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
});

import {
  CreateTopicCommand,
  GetSubscriptionAttributesCommand,
  PublishBatchCommand,
  PublishCommand,
  SetSubscriptionAttributesCommand,
  SubscribeCommand,
} from "@aws-sdk/client-sns";
import { CreateQueueCommand, DeleteQueueCommand, ReceiveMessageCommand } from "@aws-sdk/client-sqs";
import { schema } from "@sluice/database";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ACCOUNT, refusal, REGION, Sluice } from "./sluice.ts";

/** These wait for the engine: they run as soon as subscriptions have filters and a form of delivery. */
describe.skipIf(!("filterPolicies" in schema))("subscriptions", () => {
  let sluice: Sluice;
  beforeAll(async () => {
    sluice = await Sluice.start();
  });
  afterAll(() => sluice[Symbol.asyncDispose]());

  let names = 0;
  async function subscribed(Attributes: Record<string, string> = {}) {
    names += 1;
    const name = `name-${names}`;
    const { TopicArn } = await sluice.sns.send(new CreateTopicCommand({ Name: name }));
    const { QueueUrl } = await sluice.sqs.send(new CreateQueueCommand({ QueueName: name }));
    const Endpoint = `arn:aws:sqs:${REGION}:${ACCOUNT}:${name}`;
    const { SubscriptionArn } = await sluice.sns.send(
      new SubscribeCommand({ TopicArn, Protocol: "sqs", Endpoint, Attributes }),
    );
    return { TopicArn: TopicArn!, QueueUrl: QueueUrl!, SubscriptionArn: SubscriptionArn! };
  }

  async function bodies(QueueUrl: string): Promise<string[]> {
    const { Messages = [] } = await sluice.sqs.send(
      new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 10 }),
    );
    return Messages.map(({ Body }) => Body!);
  }

  test("deliver SNS' notification unless they are told not to", async () => {
    const { TopicArn, QueueUrl, SubscriptionArn } = await subscribed();
    const { MessageId } = await sluice.sns.send(
      new PublishCommand({
        TopicArn,
        Message: "hello",
        Subject: "Greeting",
        MessageAttributes: { kind: { DataType: "String", StringValue: "greeting" } },
      }),
    );
    const [body] = await bodies(QueueUrl);
    expect(JSON.parse(body!)).toMatchObject({
      Type: "Notification",
      MessageId,
      TopicArn,
      Subject: "Greeting",
      Message: "hello",
      MessageAttributes: { kind: { Type: "String", Value: "greeting" } },
    });
    const set = (AttributeName: string, AttributeValue: string) =>
      sluice.sns.send(
        new SetSubscriptionAttributesCommand({ SubscriptionArn, AttributeName, AttributeValue }),
      );
    await set("RawMessageDelivery", "true");
    await sluice.sns.send(new PublishCommand({ TopicArn, Message: "raw" }));
    expect(await bodies(QueueUrl)).toEqual(["raw"]);
  });

  test("are the same ones whether true is written with a small letter or a capital one", async () => {
    const { TopicArn, QueueUrl, SubscriptionArn } = await subscribed({
      RawMessageDelivery: "True",
    });
    const shown = async () =>
      (await sluice.sns.send(new GetSubscriptionAttributesCommand({ SubscriptionArn }))).Attributes;
    expect(await shown()).toMatchObject({ RawMessageDelivery: "true" });
    const Endpoint = `arn:aws:sqs:${REGION}:${ACCOUNT}:${QueueUrl.split("/").at(-1)}`;
    const again = new SubscribeCommand({
      TopicArn,
      Protocol: "sqs",
      Endpoint,
      Attributes: { RawMessageDelivery: "true" },
    });
    expect((await sluice.sns.send(again)).SubscriptionArn).toBe(SubscriptionArn);
    await sluice.sns.send(
      new SetSubscriptionAttributesCommand({
        SubscriptionArn,
        AttributeName: "RawMessageDelivery",
        AttributeValue: "False",
      }),
    );
    expect(await shown()).toMatchObject({ RawMessageDelivery: "false" });
  });

  test("whose queue is deleted go on to their dead-letter queue, from no source", async () => {
    const { QueueUrl } = await subscribed();
    const deadLetterTargetArn = `arn:aws:sqs:${REGION}:${ACCOUNT}:${QueueUrl.split("/").at(-1)}`;
    const gone = await subscribed({
      RawMessageDelivery: "true",
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn }),
    });
    await sluice.sqs.send(new DeleteQueueCommand({ QueueUrl: gone.QueueUrl }));
    await sluice.sns.send(new PublishCommand({ TopicArn: gone.TopicArn, Message: "m" }));
    const { Messages = [] } = await sluice.sqs.send(
      new ReceiveMessageCommand({
        QueueUrl,
        WaitTimeSeconds: 10,
        MessageSystemAttributeNames: ["DeadLetterQueueSourceArn", "ApproximateReceiveCount"],
      }),
    );
    expect(Messages).toMatchObject([{ Body: "m" }]);
    expect(Messages[0]!.Attributes).toEqual({ ApproximateReceiveCount: "1" });
  });

  test("deliver what their filter policy accepts, and show it", async () => {
    const FilterPolicy = JSON.stringify({ kind: ["order"] });
    const { TopicArn, QueueUrl, SubscriptionArn } = await subscribed({
      RawMessageDelivery: "true",
      FilterPolicy,
    });
    const { Attributes } = await sluice.sns.send(
      new GetSubscriptionAttributesCommand({ SubscriptionArn }),
    );
    expect(Attributes).toMatchObject({ FilterPolicy, FilterPolicyScope: "MessageAttributes" });
    for (const kind of ["refund", "order"]) {
      await sluice.sns.send(
        new PublishCommand({
          TopicArn,
          Message: kind,
          MessageAttributes: { kind: { DataType: "String", StringValue: kind } },
        }),
      );
    }
    expect(await bodies(QueueUrl)).toEqual(["order"]);
  });

  test("take a String.Array that is one value for a list of it", async () => {
    const { TopicArn, QueueUrl } = await subscribed({
      RawMessageDelivery: "true",
      FilterPolicy: JSON.stringify({ price: [100, "n/a"] }),
    });
    const values = ["one hundred", "100", '"n/a"', "200", "[100]"];
    await sluice.sns.send(
      new PublishBatchCommand({
        TopicArn,
        PublishBatchRequestEntries: values.map((StringValue, index) => ({
          Id: String(index),
          Message: StringValue,
          MessageAttributes: { price: { DataType: "String.Array", StringValue } },
        })),
      }),
    );
    expect(await bodies(QueueUrl)).toEqual(["100", '"n/a"', "[100]"]);
  });

  test("take an empty prefix for that of any text", async () => {
    const { TopicArn, QueueUrl } = await subscribed({
      RawMessageDelivery: "true",
      FilterPolicyScope: "MessageBody",
      FilterPolicy: JSON.stringify({ store: [{ prefix: "" }] }),
    });
    const texts = ['{"store":"north"}', '{"store":1}', "{}", '{"store":""}'];
    await sluice.sns.send(
      new PublishBatchCommand({
        TopicArn,
        PublishBatchRequestEntries: texts.map((Message, index) => ({ Id: String(index), Message })),
      }),
    );
    expect(await bodies(QueueUrl)).toEqual(['{"store":"north"}', '{"store":""}']);
  });

  test("refuse a policy that is none", async () => {
    const FilterPolicy = JSON.stringify({ kind: [{ nonsense: 1 }] });
    expect(await refusal(subscribed({ FilterPolicy }))).toBe("InvalidParameterException 400");
  });
});

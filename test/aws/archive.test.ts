import {
  CreateTopicCommand,
  DeleteTopicCommand,
  GetSubscriptionAttributesCommand,
  GetTopicAttributesCommand,
  PublishBatchCommand,
  SetSubscriptionAttributesCommand,
  SetTopicAttributesCommand,
  SubscribeCommand,
} from "@aws-sdk/client-sns";
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  type Message,
} from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { ACCOUNT, refusal, REGION, Sluice } from "./sluice.ts";

let sluice: Sluice;
beforeAll(async () => {
  sluice = await Sluice.start();
});
afterAll(() => sluice[Symbol.asyncDispose]());

const THIRTY_DAYS = JSON.stringify({ MessageRetentionPeriod: "30" });
const BEGINNING = "1970-01-01T00:00:00.000Z";
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

let names = 0;

async function newTopic(attributes: Record<string, string> = { ArchivePolicy: THIRTY_DAYS }) {
  names += 1;
  const Name = `topic-${names}.fifo`;
  const Attributes = { FifoTopic: "true", ...attributes };
  const { TopicArn } = await sluice.sns.send(new CreateTopicCommand({ Name, Attributes }));
  return { TopicArn: TopicArn!, Name, Attributes };
}

async function topicAttributes(TopicArn: string) {
  const { Attributes } = await sluice.sns.send(new GetTopicAttributesCommand({ TopicArn }));
  return Attributes!;
}

function setArchive(TopicArn: string, AttributeValue: string) {
  const AttributeName = "ArchivePolicy";
  return sluice.sns.send(
    new SetTopicAttributesCommand({ TopicArn, AttributeName, AttributeValue }),
  );
}

/** A call of the native API. */
async function native(method: string, path: string, body?: object) {
  const response = await fetch(sluice.url + path, {
    method,
    ...(body && {
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    }),
  });
  return (await response.json()) as Record<string, unknown>;
}

describe("the archive of a FIFO topic", () => {
  test("is shown with the time it begins at, until it is switched off", async () => {
    const before = new Date().toISOString();
    const { TopicArn } = await newTopic();
    const shown = await topicAttributes(TopicArn);
    expect(shown).toMatchObject({
      ArchivePolicy: THIRTY_DAYS,
      BeginningArchiveTime: expect.stringMatching(TIME),
    });
    const { BeginningArchiveTime: beginning = "" } = shown;
    expect(beginning >= before && beginning <= new Date().toISOString()).toBe(true);
    const longer = '{ "MessageRetentionPeriod": 365 }';
    await setArchive(TopicArn, longer);
    expect(await topicAttributes(TopicArn)).toMatchObject({
      ArchivePolicy: longer,
      BeginningArchiveTime: beginning,
    });
    await setArchive(TopicArn, "{}");
    const off = await topicAttributes(TopicArn);
    expect(off).not.toHaveProperty("ArchivePolicy");
    expect(off).not.toHaveProperty("BeginningArchiveTime");
  });

  test("begins no earlier than the messages that it still has", async () => {
    const { TopicArn, Name } = await newTopic();
    await sluice.database.sql`
      UPDATE topics SET archived_since = archived_since - interval '100 days' WHERE name = ${Name}`;
    const { BeginningArchiveTime = "" } = await topicAttributes(TopicArn);
    const days = (Date.now() - Date.parse(BeginningArchiveTime)) / 86_400_000;
    expect(days).toBeCloseTo(30, 2);
  });

  test("is the same that the native API switches", async () => {
    const { TopicArn, Name } = await newTopic();
    expect(await native("GET", `/v1/topics/${Name}`)).toMatchObject({ archive: { days: 30 } });
    await native("PATCH", `/v1/topics/${Name}`, { archive: { days: 7 } });
    expect(await topicAttributes(TopicArn)).toMatchObject({
      ArchivePolicy: '{"MessageRetentionPeriod":"7"}',
    });
    await native("PATCH", `/v1/topics/${Name}`, { archive: null });
    expect(await topicAttributes(TopicArn)).not.toHaveProperty("ArchivePolicy");
  });

  test("is one of the attributes that a topic is created with", async () => {
    const { TopicArn, Name, Attributes } = await newTopic();
    const create = (ArchivePolicy: string) =>
      sluice.sns.send(
        new CreateTopicCommand({ Name, Attributes: { ...Attributes, ArchivePolicy } }),
      );
    expect((await create('{"MessageRetentionPeriod":30}')).TopicArn).toBe(TopicArn);
    const others = [create('{"MessageRetentionPeriod":"31"}'), create("{}")];
    expect(await Promise.all(others.map(refusal))).toEqual([
      "InvalidParameterException 400",
      "InvalidParameterException 400",
    ]);
    await setArchive(TopicArn, "{}");
    expect((await create("{}")).TopicArn).toBe(TopicArn);
  });

  test("keeps its topic from being deleted", async () => {
    const { TopicArn } = await newTopic();
    const remove = () => sluice.sns.send(new DeleteTopicCommand({ TopicArn }));
    expect(await refusal(remove())).toBe("InvalidStateException 400");
    await setArchive(TopicArn, "{}");
    await remove();
    expect(await refusal(topicAttributes(TopicArn))).toBe("NotFoundException 404");
  });

  test.each([
    ["no text", ""],
    ["no JSON", "30"],
    ["a list", "[]"],
    ["no days", '{"MessageRetentionPeriod":"0"}'],
    ["more than a year", '{"MessageRetentionPeriod":"366"}'],
    ["half a day", '{"MessageRetentionPeriod":1.5}'],
    ["a word", '{"MessageRetentionPeriod":"month"}'],
    ["null", '{"MessageRetentionPeriod":null}'],
    ["something else", '{"MessageRetentionPeriod":"30","Compress":"true"}'],
  ])("is not set to %s", async (_, policy) => {
    const { TopicArn } = await newTopic();
    expect(await refusal(setArchive(TopicArn, policy))).toBe("InvalidParameterException 400");
    expect(await refusal(newTopic({ ArchivePolicy: policy }))).toBe(
      "InvalidParameterException 400",
    );
    expect(await topicAttributes(TopicArn)).toMatchObject({ ArchivePolicy: THIRTY_DAYS });
  });

  test("is for no other topic", async () => {
    const { TopicArn } = await sluice.sns.send(new CreateTopicCommand({ Name: "standard" }));
    const set = setArchive(TopicArn!, THIRTY_DAYS);
    expect(await refusal(set)).toBe("InvalidParameterException 400");
    const Attributes = { ArchivePolicy: THIRTY_DAYS };
    const create = sluice.sns.send(new CreateTopicCommand({ Name: "other", Attributes }));
    expect(await refusal(create)).toBe("InvalidParameterException 400");
  });
});

async function newQueue() {
  names += 1;
  const QueueName = `queue-${names}.fifo`;
  const Attributes = { FifoQueue: "true" };
  const { QueueUrl } = await sluice.sqs.send(new CreateQueueCommand({ QueueName, Attributes }));
  return { QueueUrl: QueueUrl!, Endpoint: `arn:aws:sqs:${REGION}:${ACCOUNT}:${QueueName}` };
}

async function subscribe(
  TopicArn: string,
  Endpoint: string,
  Attributes: Record<string, string> = {},
) {
  const { SubscriptionArn } = await sluice.sns.send(
    new SubscribeCommand({ TopicArn, Protocol: "sqs", Endpoint, Attributes }),
  );
  return SubscriptionArn!;
}

/** A topic with a subscribed queue. */
async function subscribed(attributes?: Record<string, string>) {
  const { TopicArn, Name } = await newTopic(attributes);
  const { QueueUrl, Endpoint } = await newQueue();
  return { TopicArn, Name, QueueUrl, SubscriptionArn: await subscribe(TopicArn, Endpoint) };
}

async function publish(TopicArn: string, ...texts: string[]) {
  const { Failed = [] } = await sluice.sns.send(
    new PublishBatchCommand({
      TopicArn,
      PublishBatchRequestEntries: texts.map((text, index) => ({
        Id: String(index),
        Message: text,
        // `a1` is the first of group a.
        MessageGroupId: text.charAt(0),
        MessageDeduplicationId: text,
      })),
    }),
  );
  expect(Failed).toEqual([]);
}

interface Notification {
  Message: string;
  MessageId: string;
  Timestamp: string;
  Replayed?: boolean;
}

/** Receives this many notifications and deletes them. */
async function take(QueueUrl: string, count: number): Promise<Notification[]> {
  const taken: Message[] = [];
  while (taken.length < count) {
    const { Messages = [] } = await sluice.sqs.send(
      new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 10 }),
    );
    for (const { ReceiptHandle } of Messages)
      await sluice.sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
    taken.push(...Messages);
  }
  return taken.map(({ Body }) => JSON.parse(Body!) as Notification);
}

/** What each group has, in its order. */
function byGroup(notifications: readonly Notification[]): string[] {
  const texts = notifications.map(({ Message: text }) => text);
  return ["a", "b"].flatMap((group) => texts.filter((text) => text.startsWith(group)));
}

function policy(StartingPoint: string, EndingPoint?: string): string {
  return JSON.stringify({ PointType: "Timestamp", StartingPoint, EndingPoint });
}

function setReplay(SubscriptionArn: string, AttributeValue: string) {
  const AttributeName = "ReplayPolicy";
  return sluice.sns.send(
    new SetSubscriptionAttributesCommand({ SubscriptionArn, AttributeName, AttributeValue }),
  );
}

async function shownReplay(SubscriptionArn: string) {
  const { Attributes } = await sluice.sns.send(
    new GetSubscriptionAttributesCommand({ SubscriptionArn }),
  );
  const { ReplayPolicy, ReplayStatus } = Attributes!;
  return { ReplayPolicy, ReplayStatus };
}

async function untilCompleted(SubscriptionArn: string) {
  const isCompleted = async () => {
    expect((await shownReplay(SubscriptionArn)).ReplayStatus).toBe("Completed");
  };
  await vi.waitFor(isCompleted, { timeout: 10_000 });
}

/** Keeps everybody from delivering to the queue until it is let go. */
async function holding(QueueUrl: string, meanwhile: () => Promise<void>) {
  const name = QueueUrl.split("/").at(-1)!;
  await sluice.database.sql.begin(async (tx) => {
    await tx`SELECT pg_advisory_xact_lock(4611686018427387904 + id) FROM queues WHERE name = ${name}`;
    await meanwhile();
  });
}

describe("a replay policy", () => {
  test("delivers what the archive has again, in order and marked", async () => {
    const { TopicArn, QueueUrl, SubscriptionArn } = await subscribed();
    await publish(TopicArn, "a1", "b1", "a2");
    await publish(TopicArn, "a3", "b2");
    const live = await take(QueueUrl, 5);
    expect(live.every((one) => !("Replayed" in one))).toBe(true);
    await setReplay(SubscriptionArn, policy(BEGINNING));
    await untilCompleted(SubscriptionArn);
    expect((await shownReplay(SubscriptionArn)).ReplayPolicy).toBe(policy(BEGINNING));
    const again = await take(QueueUrl, 5);
    expect(byGroup(again)).toEqual(["a1", "a2", "a3", "b1", "b2"]);
    for (const one of again) {
      const { MessageId, Timestamp } = live.find((other) => other.Message === one.Message)!;
      expect(one).toMatchObject({ Replayed: true, MessageId, Timestamp });
    }
    await publish(TopicArn, "a4");
    expect(await take(QueueUrl, 1)).toMatchObject([{ Message: "a4" }]);
  });

  test("goes from one time to another, both included", async () => {
    const { TopicArn, QueueUrl, SubscriptionArn } = await subscribed();
    const times: string[] = [];
    for (const text of ["a1", "a2", "a3", "a4"]) {
      await publish(TopicArn, text);
      const [taken] = await take(QueueUrl, 1);
      times.push(taken!.Timestamp);
    }
    const between = policy(times[1]!, times[2]!);
    await setReplay(SubscriptionArn, between);
    await untilCompleted(SubscriptionArn);
    expect((await shownReplay(SubscriptionArn)).ReplayPolicy).toBe(between);
    expect(byGroup(await take(QueueUrl, 2))).toEqual(["a2", "a3"]);
  });

  test("takes the place of one that is under way", async () => {
    const { TopicArn, QueueUrl, SubscriptionArn } = await subscribed();
    await publish(TopicArn, "a1", "b1");
    const [{ Timestamp: first } = { Timestamp: "" }] = await take(QueueUrl, 2);
    const later = new Date(Date.parse(first) + 1).toISOString();
    await holding(QueueUrl, async () => {
      await setReplay(SubscriptionArn, policy(BEGINNING));
      expect(await shownReplay(SubscriptionArn)).toEqual({
        ReplayPolicy: policy(BEGINNING),
        ReplayStatus: "Pending",
      });
      await setReplay(SubscriptionArn, policy(later));
      expect(await shownReplay(SubscriptionArn)).toMatchObject({ ReplayPolicy: policy(later) });
    });
    await untilCompleted(SubscriptionArn);
    const id = SubscriptionArn.split(":").at(-1);
    expect(await native("GET", `/v1/subscriptions/${id}/replays`)).toMatchObject({
      replays: [
        { status: "completed", replayed: 0 },
        { status: "cancelled", replayed: 0 },
      ],
    });
  });

  test.each(["{}", ""])("ends, and is no longer shown, when it is set to '%s'", async (empty) => {
    const { TopicArn, QueueUrl, SubscriptionArn } = await subscribed();
    await publish(TopicArn, "a1");
    await take(QueueUrl, 1);
    await holding(QueueUrl, async () => {
      await setReplay(SubscriptionArn, policy(BEGINNING));
      await setReplay(SubscriptionArn, empty);
      expect(await shownReplay(SubscriptionArn)).toEqual({});
    });
    await publish(TopicArn, "a2");
    expect(await take(QueueUrl, 1)).toMatchObject([{ Message: "a2" }]);
    await setReplay(SubscriptionArn, policy(BEGINNING));
    await untilCompleted(SubscriptionArn);
    await setReplay(SubscriptionArn, empty);
    expect(await shownReplay(SubscriptionArn)).toEqual({});
  });

  test("shows a replay of the native API as well, and none that was cancelled there", async () => {
    const { TopicArn, QueueUrl, SubscriptionArn } = await subscribed();
    const path = `/v1/subscriptions/${SubscriptionArn.split(":").at(-1)}/replays`;
    await publish(TopicArn, "a1");
    await take(QueueUrl, 1);
    await holding(QueueUrl, async () => {
      const { id } = await native("POST", path, { from: BEGINNING });
      expect(await shownReplay(SubscriptionArn)).toMatchObject({ ReplayPolicy: policy(BEGINNING) });
      await native("DELETE", `${path}/${String(id)}`);
      expect(await shownReplay(SubscriptionArn)).toEqual({});
    });
  });

  test("may come with the subscription: each message once, replayed or live", async () => {
    const { TopicArn } = await newTopic();
    await publish(TopicArn, "a1", "b1");
    await publish(TopicArn, "a2");
    const { QueueUrl, Endpoint } = await newQueue();
    const ReplayPolicy = policy(BEGINNING);
    const arn = await subscribe(TopicArn, Endpoint, { ReplayPolicy });
    await untilCompleted(arn);
    expect((await shownReplay(arn)).ReplayPolicy).toBe(ReplayPolicy);
    await publish(TopicArn, "a3");
    // What was not fanned out yet when it was subscribed comes live, and may come first.
    const messages = (await take(QueueUrl, 4)).map(({ Message }) => Message);
    expect(messages.toSorted()).toEqual(["a1", "a2", "a3", "b1"]);
    expect(await subscribe(TopicArn, Endpoint, { ReplayPolicy })).toBe(arn);
    const other = subscribe(TopicArn, Endpoint, { ReplayPolicy: policy("2026-01-01T00:00:00Z") });
    expect(await refusal(other)).toBe("InvalidParameterException 400");
  });

  test("may come with the subscription and an end", async () => {
    const { TopicArn, QueueUrl } = await subscribed();
    await publish(TopicArn, "a1");
    const [{ Timestamp: end } = { Timestamp: "" }] = await take(QueueUrl, 1);
    await publish(TopicArn, "a2");
    // Fanned out: not waiting to come to the new queue live.
    await take(QueueUrl, 1);
    const { QueueUrl: other, Endpoint } = await newQueue();
    const ReplayPolicy = policy(BEGINNING, end);
    const arn = await subscribe(TopicArn, Endpoint, { ReplayPolicy });
    await untilCompleted(arn);
    expect((await shownReplay(arn)).ReplayPolicy).toBe(ReplayPolicy);
    await publish(TopicArn, "a3");
    expect(byGroup(await take(other, 2))).toEqual(["a1", "a3"]);
  });

  const PointType = "Timestamp";
  const StartingPoint = BEGINNING;
  test.each([
    ["no JSON", "yesterday"],
    ["a list", "[]"],
    ["no type of its points", { StartingPoint }],
    ["another type of its points", { PointType: "SequenceNumber", StartingPoint }],
    ["no start", { PointType }],
    ["a start that is no time", { PointType, StartingPoint: "yesterday" }],
    ["a day that is none", { PointType, StartingPoint: "2026-13-01T00:00:00.000Z" }],
    ["a year before the first", { PointType, StartingPoint: "0001-01-01T00:00:00.000+01:00" }],
    ["a year after the last", { PointType, StartingPoint: "9999-12-31T23:59:59.000-01:00" }],
    ["a time of no zone", { PointType, StartingPoint: "2026-01-01T00:00:00.000" }],
    ["a number", { PointType, StartingPoint: 0 }],
    ["an end that is no time", { PointType, StartingPoint, EndingPoint: "" }],
    [
      "an end before its start",
      { PointType, StartingPoint, EndingPoint: "1969-01-01T00:00:00.000Z" },
    ],
    ["something else", { PointType, StartingPoint, Rate: 1 }],
  ])("is refused with %s", async (_, given) => {
    const { TopicArn, SubscriptionArn } = await subscribed();
    const text = typeof given === "string" ? given : JSON.stringify(given);
    expect(await refusal(setReplay(SubscriptionArn, text))).toBe("InvalidParameterException 400");
    expect(await shownReplay(SubscriptionArn)).toEqual({});
    const { Endpoint } = await newQueue();
    const begin = subscribe(TopicArn, Endpoint, { ReplayPolicy: text });
    expect(await refusal(begin)).toBe("InvalidParameterException 400");
  });

  test("needs an archive, and a subscription", async () => {
    const { SubscriptionArn } = await subscribed({});
    const set = setReplay(SubscriptionArn, policy(BEGINNING));
    expect(await refusal(set)).toBe("InvalidParameterException 400");
    const absent = SubscriptionArn.replace(/[^:]+$/, "00000000-0000-0000-0000-000000000000");
    expect(await refusal(setReplay(absent, policy(BEGINNING)))).toBe("NotFoundException 404");
  });
});

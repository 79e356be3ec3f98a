import {
  AddPermissionCommand as AddTopicPermissionCommand,
  CreateTopicCommand,
  DeleteTopicCommand,
  GetTopicAttributesCommand,
  ListTagsForResourceCommand,
  SetTopicAttributesCommand,
  SubscribeCommand,
  TagResourceCommand,
  UnsubscribeCommand,
  UntagResourceCommand,
} from "@aws-sdk/client-sns";
import {
  AddPermissionCommand,
  CreateQueueCommand,
  GetQueueAttributesCommand,
  ListQueueTagsCommand,
  SetQueueAttributesCommand,
  TagQueueCommand,
  UntagQueueCommand,
  type QueueAttributeName,
} from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { ACCOUNT, refusal, REGION, Sluice } from "./sluice.ts";

let sluice: Sluice;
beforeAll(async () => {
  sluice = await Sluice.start();
});
afterAll(() => sluice[Symbol.asyncDispose]());

/**
 * Makes calls at the same time: whatever they read before they change something they have read, or wait to read, when
 * the first of them may write.
 */
async function atOnce(
  table: "queues" | "topics" | "subscriptions",
  ...calls: (() => Promise<unknown>)[]
) {
  const { sql } = sluice.database;
  let answers: Promise<unknown[]> | undefined;
  await sql.begin(async (tx) => {
    await tx`SELECT id FROM ${tx(table)} FOR UPDATE`;
    answers = Promise.all(calls.map((call) => call()));
    // Refused ones are for who awaits the answers.
    answers.catch(() => undefined);
    const areWaiting = async () => {
      const [row] = await sql<{ waiting: number }[]>`
        SELECT count(*)::int AS waiting FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      expect(row?.waiting).toBe(calls.length);
    };
    await vi.waitFor(areWaiting, { timeout: 10_000 });
  });
  await answers;
}

async function newQueue(QueueName: string): Promise<string> {
  const { QueueUrl } = await sluice.sqs.send(new CreateQueueCommand({ QueueName }));
  return QueueUrl!;
}

async function newTopic(Name: string): Promise<string> {
  const { TopicArn } = await sluice.sns.send(new CreateTopicCommand({ Name }));
  return TopicArn!;
}

interface Statement {
  Sid: string;
}

function labelsOf(policy: string | undefined): string[] {
  return (JSON.parse(policy!) as { Statement: Statement[] }).Statement.map(({ Sid }) => Sid).sort();
}

describe("of two calls at once on a queue both count:", () => {
  const attributesOf = async (QueueUrl: string, ...AttributeNames: QueueAttributeName[]) =>
    (await sluice.sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames }))).Attributes;

  test("SetQueueAttributes", async () => {
    const QueueUrl = await newQueue("attributes");
    const set = (Attributes: Record<string, string>) => () =>
      sluice.sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }));
    await atOnce("queues", set({ KmsMasterKeyId: "a" }), set({ SqsManagedSseEnabled: "true" }));
    expect(await attributesOf(QueueUrl, "KmsMasterKeyId", "SqsManagedSseEnabled")).toEqual({
      KmsMasterKeyId: "a",
      SqsManagedSseEnabled: "true",
    });
  });

  test("TagQueue and UntagQueue", async () => {
    const QueueUrl = await newQueue("tags");
    await sluice.sqs.send(new TagQueueCommand({ QueueUrl, Tags: { old: "1" } }));
    await atOnce(
      "queues",
      () => sluice.sqs.send(new TagQueueCommand({ QueueUrl, Tags: { team: "a" } })),
      () => sluice.sqs.send(new UntagQueueCommand({ QueueUrl, TagKeys: ["old"] })),
    );
    const { Tags } = await sluice.sqs.send(new ListQueueTagsCommand({ QueueUrl }));
    expect(Tags).toEqual({ team: "a" });
  });

  test("AddPermission", async () => {
    const QueueUrl = await newQueue("permissions");
    const add = (Label: string) => () =>
      sluice.sqs.send(
        new AddPermissionCommand({
          QueueUrl,
          Label,
          AWSAccountIds: [ACCOUNT],
          Actions: ["SendMessage"],
        }),
      );
    await atOnce("queues", add("first"), add("second"));
    const shown = await attributesOf(QueueUrl, "Policy");
    expect(labelsOf(shown?.["Policy"])).toEqual(["first", "second"]);
  });

  test("and one that the other makes impossible changes nothing", async () => {
    const QueueUrl = await newQueue("too-many-tags");
    const tags = (prefix: string, count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index}`, "1"]));
    const tag = (prefix: string) => () =>
      sluice.sqs.send(new TagQueueCommand({ QueueUrl, Tags: tags(prefix, 30) }));
    expect(await refusal(atOnce("queues", tag("a"), tag("b")))).toMatch(/400$/);
    const { Tags } = await sluice.sqs.send(new ListQueueTagsCommand({ QueueUrl }));
    expect(Object.keys(Tags!)).toHaveLength(30);
  });
});

describe("of two calls at once on a topic both count:", () => {
  const attributesOf = async (TopicArn: string) =>
    (await sluice.sns.send(new GetTopicAttributesCommand({ TopicArn }))).Attributes;

  test("SetTopicAttributes", async () => {
    const TopicArn = await newTopic("attributes");
    const set = (AttributeName: string, AttributeValue: string) => () =>
      sluice.sns.send(new SetTopicAttributesCommand({ TopicArn, AttributeName, AttributeValue }));
    await atOnce("topics", set("DisplayName", "Orders"), set("MaximumMessageSize", "2048"));
    expect(await attributesOf(TopicArn)).toMatchObject({
      DisplayName: "Orders",
      MaximumMessageSize: "2048",
    });
  });

  test("TagResource and UntagResource", async () => {
    const TopicArn = await newTopic("tags");
    const ResourceArn = TopicArn;
    const tag = (Key: string) =>
      sluice.sns.send(new TagResourceCommand({ ResourceArn, Tags: [{ Key, Value: "1" }] }));
    await tag("old");
    await atOnce(
      "topics",
      () => tag("team"),
      () => sluice.sns.send(new UntagResourceCommand({ ResourceArn, TagKeys: ["old"] })),
    );
    const { Tags } = await sluice.sns.send(new ListTagsForResourceCommand({ ResourceArn }));
    expect(Tags).toEqual([{ Key: "team", Value: "1" }]);
  });

  test("AddPermission", async () => {
    const TopicArn = await newTopic("permissions");
    const add = (Label: string) => () =>
      sluice.sns.send(
        new AddTopicPermissionCommand({
          TopicArn,
          Label,
          AWSAccountId: [ACCOUNT],
          ActionName: ["Publish"],
        }),
      );
    await atOnce("topics", add("first"), add("second"));
    const labels = labelsOf((await attributesOf(TopicArn))?.["Policy"]);
    expect(labels).toEqual(["__default_statement_ID", "first", "second"]);
  });
});

test("a subscription and a topic that two end at once are ended for both", async () => {
  const TopicArn = await newTopic("ended-twice");
  await newQueue("ended-twice");
  const Endpoint = `arn:aws:sqs:${REGION}:${ACCOUNT}:ended-twice`;
  const { SubscriptionArn } = await sluice.sns.send(
    new SubscribeCommand({ TopicArn, Protocol: "sqs", Endpoint }),
  );
  const unsubscribe = () => sluice.sns.send(new UnsubscribeCommand({ SubscriptionArn }));
  await atOnce("subscriptions", unsubscribe, unsubscribe);
  const remove = () => sluice.sns.send(new DeleteTopicCommand({ TopicArn }));
  await atOnce("topics", remove, remove);
});

describe("of several that create one at once with attributes of their own, one does, and the others are told", () => {
  test.each([
    [
      "a queue",
      "QueueNameExists",
      (index: number) =>
        sluice.sqs.send(
          new CreateQueueCommand({
            QueueName: "created-at-once",
            Attributes: { KmsMasterKeyId: `alias/${index}` },
          }),
        ),
    ],
    [
      "a topic",
      "InvalidParameterException",
      (index: number) =>
        sluice.sns.send(
          new CreateTopicCommand({
            Name: "created-at-once",
            Attributes: { DisplayName: `name ${index}` },
          }),
        ),
    ],
  ])("%s", async (_, name, create) => {
    const settled = await Promise.allSettled(
      Array.from({ length: 6 }, (_, index) => create(index)),
    );
    const refused = settled.flatMap((each) =>
      each.status === "rejected" ? [(each.reason as Error).name] : [],
    );
    expect(refused).toEqual(Array.from({ length: 5 }, () => name));
  });
});

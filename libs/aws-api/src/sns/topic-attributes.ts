import { topicDefaults, type SettableTopic, type Topic } from "@sluice/engine";

import type { Call } from "../call.ts";
import { invalidParameter } from "../errors.ts";
import { isLine } from "../kept-text.ts";
import { plainBoolean } from "../plain-boolean.ts";
import { topicArn } from "../names/topic-arn.ts";
import { isPolicy } from "../policy.ts";
import { archivePolicyOf, beginningArchiveTime, readArchivePolicy } from "./archive-policy.ts";

const isBoolean = (text: string) => text === "true" || text === "false";
const isJson = (text: string) => text === "" || isPolicy(text);
const isShort = (text: string) => isLine(text, 2_048);
const isRate = (text: string) => text === "" || /^(100|\d{1,2})$/.test(text);

/**
 * What can be set of a topic, and what a value of it looks like. All of it is kept and shown; {@link settingsOf} is
 * what changes anything.
 */
const attributes: ReadonlyMap<string, (text: string) => boolean> = new Map(
  Object.entries({
    DisplayName: (text: string) => isLine(text, 100),
    Policy: isJson,
    DeliveryPolicy: isJson,
    KmsMasterKeyId: isShort,
    MaximumMessageSize: (text: string) =>
      /^\d{4,7}$/.test(text) && Number(text) >= 1_024 && Number(text) <= 1_048_576,
    SignatureVersion: (text: string) => text === "1" || text === "2",
    TracingConfig: (text: string) => text === "PassThrough" || text === "Active",
    ...Object.fromEntries(
      ["HTTP", "SQS", "Lambda", "Firehose", "Application"].flatMap((protocol) => [
        [`${protocol}SuccessFeedbackRoleArn`, isShort],
        [`${protocol}FailureFeedbackRoleArn`, isShort],
        [`${protocol}SuccessFeedbackSampleRate`, isRate],
      ]),
    ),
  }),
);

const fifoAttributes: ReadonlyMap<string, (text: string) => boolean> = new Map(
  Object.entries({
    FifoTopic: isBoolean,
    ContentBasedDeduplication: isBoolean,
    FifoThroughputScope: (text: string) => text === "Topic" || text === "MessageGroup",
    ArchivePolicy: (text: string) => readArchivePolicy(text) !== undefined,
  }),
);

/** @throws {AwsError} `InvalidParameter` */
export function readTopicAttribute(
  name: string,
  given: string,
  { fifo, isNew }: { fifo: boolean; isNew: boolean },
): Record<string, string> {
  const text = fifoAttributes.get(name) === isBoolean ? plainBoolean(given) : given;
  // What a standard topic says of itself when it is asked.
  if (isNew && name === "FifoTopic" && text === "false") return {};
  const isValid = attributes.get(name) ?? (fifo ? fifoAttributes.get(name) : undefined);
  if (!isValid || (name === "FifoTopic" && !isNew)) {
    throw isNew
      ? invalidParameter("Attributes", `Unknown attribute ${name.slice(0, 100)}`)
      : invalidParameter("AttributeName");
  }
  if (!isValid(text)) {
    throw isNew
      ? invalidParameter("Attributes", `Invalid value for attribute ${name}`)
      : invalidParameter("AttributeValue", `Invalid value for attribute ${name}`);
  }
  // An empty one is none; no text at all, which SNS refuses, would end an archive for good by mistake.
  if (name === "ArchivePolicy" && readArchivePolicy(text) === null) return { [name]: "" };
  return { [name]: text };
}

/** What of the attributes that are set the engine heeds; what they do not name stays as it is. */
export function settingsOf({
  ContentBasedDeduplication: byContent,
  FifoThroughputScope: scope,
  MaximumMessageSize: size,
  ArchivePolicy: archive,
}: Readonly<Record<string, string>>): SettableTopic {
  return {
    ...(byContent !== undefined && { contentBasedDeduplication: byContent === "true" }),
    ...(scope !== undefined && {
      fifoThroughputScope: scope === "MessageGroup" ? "messageGroup" : "topic",
    }),
    ...(size !== undefined && { maxMessageSize: Number(size) }),
    ...(archive !== undefined && { archive: readArchivePolicy(archive) ?? null }),
  };
}

/** The attributes of a topic; what the engine heeds as it is now, whoever set it. */
export function attributesOf(topic: Topic): Record<string, string> {
  const { ArchivePolicy: _kept, ...kept } = topic.awsAttributes;
  const archive = archivePolicyOf(topic);
  return {
    ...kept,
    MaximumMessageSize: String(topic.maxMessageSize),
    ...(topic.fifo && {
      FifoTopic: "true",
      ContentBasedDeduplication: String(topic.contentBasedDeduplication),
      FifoThroughputScope: topic.fifoThroughputScope === "topic" ? "Topic" : "MessageGroup",
      ...(archive !== undefined && { ArchivePolicy: archive }),
    }),
  };
}

export async function shownTopicAttributes(
  call: Call,
  topic: Topic,
): Promise<Record<string, string>> {
  const arn = topicArn(call, topic.name);
  const { MaximumMessageSize: size = "", ...own } = attributesOf(topic);
  // AWS shows the size only where it was set.
  const beginning = beginningArchiveTime(topic);
  const isSizeSet =
    "MaximumMessageSize" in topic.awsAttributes ||
    topic.maxMessageSize !== topicDefaults.maxMessageSize;
  return {
    TopicArn: arn,
    Owner: call.account,
    DisplayName: "",
    Policy: defaultPolicy(call.account, arn),
    EffectiveDeliveryPolicy: DELIVERY_POLICY,
    ...own,
    ...(isSizeSet && { MaximumMessageSize: size }),
    ...(topic.fifo && beginning !== undefined && { BeginningArchiveTime: beginning }),
    SubscriptionsConfirmed: String(await call.engine.subscriptions.count(topic.account, topic.id)),
    SubscriptionsPending: "0",
    SubscriptionsDeleted: "0",
  };
}

/** What AWS gives a topic that was created without one. */
export function defaultPolicy(account: string, arn: string): string {
  const actions = [
    "GetTopicAttributes",
    "SetTopicAttributes",
    "AddPermission",
    "RemovePermission",
    "DeleteTopic",
    "Subscribe",
    "ListSubscriptionsByTopic",
    "Publish",
  ];
  return JSON.stringify({
    Version: "2008-10-17",
    Id: "__default_policy_ID",
    Statement: [
      {
        Sid: "__default_statement_ID",
        Effect: "Allow",
        Principal: { AWS: "*" },
        Action: actions.map((action) => `SNS:${action}`),
        Resource: arn,
        Condition: { StringEquals: { "AWS:SourceOwner": account } },
      },
    ],
  });
}

const DELIVERY_POLICY = JSON.stringify({
  http: {
    defaultHealthyRetryPolicy: {
      minDelayTarget: 20,
      maxDelayTarget: 20,
      numRetries: 3,
      numMaxDelayRetries: 0,
      numNoDelayRetries: 0,
      numMinDelayRetries: 0,
      backoffFunction: "linear",
    },
    disableSubscriptionOverrides: false,
    defaultRequestPolicy: { headerContentType: "text/plain; charset=UTF-8" },
  },
});

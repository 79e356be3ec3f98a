import { isDeepStrictEqual } from "node:util";

import type { Topic } from "@sluice/engine";

import type { Call } from "../call.ts";
import { invalidParameter, snsError } from "../errors.ts";
import { plainBoolean } from "../plain-boolean.ts";
import type { SnsInput } from "../model/sns.ts";
import { isTopicName, noSuchTopic, topicArn, topicOfArn } from "../names/topic-arn.ts";
import { parseObject } from "../policy.ts";
import { readArchivePolicy } from "./archive-policy.ts";
import { endedOnce } from "./errors.ts";
import { checkTags, tagsOf } from "./tags.ts";
import {
  attributesOf,
  readTopicAttribute,
  settingsOf,
  shownTopicAttributes,
} from "./topic-attributes.ts";

/** Idempotent: what the request names has to be as it is; what it leaves out may be anything. */
export async function createTopic(call: Call, input: SnsInput<"CreateTopic">) {
  const { Name: name } = input;
  const given = input.Attributes ?? new Map<string, string>();
  const fifo = plainBoolean(given.get("FifoTopic") ?? "") === "true";
  if (!isTopicName(name) || fifo !== name.endsWith(".fifo")) throw invalidParameter("Topic Name");
  if (input.DataProtectionPolicy !== undefined) throw noDataProtection();
  const tags = tagsOf(input.Tags ?? []);
  checkTags(tags);
  const awsAttributes = Object.assign(
    {},
    ...[...given].map(([attribute, text]) =>
      readTopicAttribute(attribute, text, { fifo, isNew: true }),
    ),
  ) as Record<string, string>;
  const sameAs = (topic: Topic) => {
    checkSame(topic, awsAttributes, tags);
    return { TopicArn: topicArn(call, name) };
  };
  const existing = await call.engine.topics.find(call.account, name);
  if (existing) return sameAs(existing);
  const { topic, created } = await call.engine.topics.create(call.account, {
    name,
    tags,
    awsAttributes,
    fifo,
    ...settingsOf(awsAttributes),
  });
  // Somebody else made it meanwhile.
  if (!created) return sameAs(topic);
  call.engine.changed({ kind: "topic", account: call.account, name });
  return { TopicArn: topicArn(call, name) };
}

function checkSame(
  topic: Topic,
  attributes: Record<string, string>,
  tags: Record<string, string>,
): void {
  const existing = attributesOf(topic);
  const differs = Object.entries(attributes).some(
    ([name, text]) => !isSame(name, existing[name] ?? "", text),
  );
  if (differs)
    throw invalidParameter("Attributes", "Topic already exists with different attributes");
  if (Object.entries(tags).some(([key, value]) => topic.tags[key] !== value))
    throw invalidParameter("Tags", "Topic already exists with different tags");
}

function isSame(name: string, a: string, b: string): boolean {
  if (name === "ArchivePolicy") return readArchivePolicy(a)?.days === readArchivePolicy(b)?.days;
  const [left, right] = [parseObject(a), parseObject(b)];
  return a === b || (left !== undefined && right !== undefined && isDeepStrictEqual(left, right));
}

/**
 * Deleting a topic that is not there is no error. One that SNS knows an archive of keeps it until that is switched off.
 */
export async function deleteTopic(call: Call, { TopicArn }: SnsInput<"DeleteTopic">) {
  const name = topicOfArn(call, TopicArn);
  const topic = await call.engine.topics.find(call.account, name);
  if (!topic) return;
  if (topic.fifo && topic.archive)
    throw snsError("InvalidState", "Invalid state: Cannot delete a topic with an ArchivePolicy");
  await endedOnce(call.engine.topics.delete(call.account, name));
  call.engine.changed({ kind: "topic", account: call.account, name });
}

/** Loops over pages begin with an empty token, Salt's do: for SNS that is none. */
export function cursorOf(nextToken: string | undefined): string | undefined {
  return nextToken === "" ? undefined : nextToken;
}

export async function listTopics(call: Call, { NextToken: token }: SnsInput<"ListTopics">) {
  const cursor = cursorOf(token);
  const { items, nextCursor } = await call.engine.topics.names(call.account, { cursor });
  return {
    Topics: items.map((name) => ({ TopicArn: topicArn(call, name) })),
    NextToken: nextCursor,
  };
}

export async function topicAt(call: Call, arn: string): Promise<Topic> {
  const topic = await call.engine.topics.find(call.account, topicOfArn(call, arn));
  if (!topic) throw noSuchTopic();
  return topic;
}

export async function getTopicAttributes(call: Call, input: SnsInput<"GetTopicAttributes">) {
  const topic = await topicAt(call, input.TopicArn);
  return { Attributes: await shownTopicAttributes(call, topic) };
}

export async function setTopicAttributes(call: Call, input: SnsInput<"SetTopicAttributes">) {
  const { AttributeName: name, AttributeValue: text = "" } = input;
  await changeAttributes(call, input.TopicArn, ({ fifo }) =>
    readTopicAttribute(name, text, { fifo, isNew: false }),
  );
}

/**
 * Keeps attributes with a topic; an empty one is taken away.
 * @param change - what is set on the topic as it is: two calls at once do not undo each other
 * @throws {AwsError} `NotFound`, and what `change` throws, which changes nothing
 */
export async function changeAttributes(
  call: Call,
  arn: string,
  change: (topic: Topic) => Record<string, string>,
): Promise<void> {
  const name = topicOfArn(call, arn);
  await call.engine.topics.update(call.account, name, (topic) => {
    const changed = change(topic);
    const kept = Object.entries({ ...topic.awsAttributes, ...changed });
    return {
      awsAttributes: Object.fromEntries(kept.filter(([, text]) => text !== "")),
      ...settingsOf(changed),
    };
  });
  call.engine.changed({ kind: "topic", account: call.account, name });
}

export async function getDataProtectionPolicy(
  call: Call,
  { ResourceArn }: SnsInput<"GetDataProtectionPolicy">,
) {
  await topicAt(call, ResourceArn);
  return { DataProtectionPolicy: "" };
}

export async function putDataProtectionPolicy(
  call: Call,
  { ResourceArn }: SnsInput<"PutDataProtectionPolicy">,
) {
  await topicAt(call, ResourceArn);
  throw noDataProtection();
}

function noDataProtection() {
  return invalidParameter("DataProtectionPolicy", "Data protection policies are not supported");
}

/** Only HTTP(S) endpoints have to confirm, and those there are none of yet: no token is one of ours. */
export function confirmSubscription(call: Call, input: SnsInput<"ConfirmSubscription">) {
  topicOfArn(call, input.TopicArn);
  return Promise.reject(invalidParameter("Token"));
}

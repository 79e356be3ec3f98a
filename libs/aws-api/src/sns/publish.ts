import { messageBytes, type MessageInput, type Topic, type WriteResult } from "@sluice/engine";

import { checkBatch, failedEntry, type FailedEntry } from "../batch.ts";
import type { Call } from "../call.ts";
import { invalidParameter, snsError } from "../errors.ts";
import { attributesOf, type AttributeWords } from "../message/attributes.ts";
import type { SnsInput } from "../model/sns.ts";
import { topicOfArn } from "../names/topic-arn.ts";
import { messageError } from "./errors.ts";

const ID_TEXT = /^[\x21-\x7e]{1,128}$/;
const MAX_SUBJECT = 99;

const words: AttributeWords = {
  refuse: (message) => snsError("InvalidParameterValue", message),
  empty: (name, type) =>
    `The message attribute '${name}' must contain non-empty message attribute value for message attribute type '${type}'.`,
};

type Given = Omit<SnsInput<"Publish">, "TopicArn" | "TargetArn" | "PhoneNumber">;

export async function publish(call: Call, input: SnsInput<"Publish">) {
  const arn = input.TopicArn ?? input.TargetArn;
  if (input.PhoneNumber !== undefined)
    throw invalidParameter("PhoneNumber", "messages to phones are not supported");
  if (arn === undefined)
    throw invalidParameter("TopicArn or TargetArn", "no value for required parameter");
  const topic = await rememberedTopicAt(
    call,
    arn,
    input.TopicArn === undefined ? "TargetArn" : "TopicArn",
  );
  const [result] = await write(call, topic, [messageOf(topic, input)]);
  if (!result || "error" in result) {
    throw result
      ? messageError(result.error)
      : snsError("InternalError", "the message has no result");
  }
  return { MessageId: result.messageId, SequenceNumber: result.sequenceNumber };
}

export async function publishBatch(call: Call, input: SnsInput<"PublishBatch">) {
  const { PublishBatchRequestEntries: entries } = input;
  checkBatch("sns", "PublishBatchRequestEntry", entries);
  const topic = await rememberedTopicAt(call, input.TopicArn, "TopicArn");
  // As SNS does it: one that is wrong has the whole batch refused.
  const messages = entries.map((entry) => messageOf(topic, entry));
  const bytes = messages.reduce((sum, message) => sum + messageBytes(message), 0);
  if (bytes > topic.maxMessageSize) {
    throw snsError(
      "BatchRequestTooLong",
      "The length of all the messages put together is more than the limit.",
    );
  }
  const successful: object[] = [];
  const failed: FailedEntry[] = [];
  (await write(call, topic, messages)).forEach((result, index) => {
    const id = entries[index]?.Id ?? "";
    if ("error" in result) failed.push(failedEntry(id, messageError(result.error)));
    else {
      const { messageId: MessageId } = result;
      successful.push({ Id: id, MessageId, SequenceNumber: result.sequenceNumber });
    }
  });
  return { Successful: successful, Failed: failed };
}

async function rememberedTopicAt(call: Call, arn: string, parameter: string): Promise<Topic> {
  return await call.engine.topicDirectory.get(call.account, topicOfArn(call, arn, parameter));
}

async function write(call: Call, topic: Topic, messages: MessageInput[]): Promise<WriteResult[]> {
  const { engine, account, repeatableFor } = call;
  const options = { idempotencyKey: call.idempotencyKey(), repeatableFor };
  return await engine.publisher.publish(account, topic.name, messages, options);
}

/** @throws {AwsError} for what SNS checks before it looks at the message's size and characters */
function messageOf(topic: Topic, given: Given): MessageInput {
  const { MessageGroupId: groupId, MessageDeduplicationId: deduplicationId } = given;
  if (given.Message === "") throw invalidParameter("Empty message");
  checkSubject(given.Subject);
  checkIdText("MessageGroupId", groupId);
  checkIdText("MessageDeduplicationId", deduplicationId);
  if (topic.fifo) {
    if (groupId === undefined)
      throw invalidParameter("The MessageGroupId parameter is required for FIFO topics");
    if (deduplicationId === undefined && !topic.contentBasedDeduplication)
      throw invalidParameter(
        "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
      );
  } else if (deduplicationId !== undefined) {
    throw invalidParameter(
      "MessageDeduplicationId",
      "The request includes MessageDeduplicationId parameter that is not valid for this topic type",
    );
  }
  return {
    body: bodyOf(given),
    attributes: attributesOf(given.MessageAttributes, words),
    subject: given.Subject,
    groupId,
    deduplicationId,
  };
}

function checkSubject(subject: string | undefined): void {
  if (subject === undefined) return;
  if (
    subject.length < 1 ||
    Array.from(subject).length > MAX_SUBJECT ||
    /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\ufffe\uffff]/u.test(subject)
  )
    throw invalidParameter("Subject");
}

function checkIdText(parameter: string, text: string | undefined): void {
  if (text !== undefined && !ID_TEXT.test(text)) throw invalidParameter(parameter);
}

/** Of a message for several protocols, what it has for queues. */
function bodyOf({ Message: message, MessageStructure: structure }: Given): string {
  // SNS minds no other: programs that copied the documentation's placeholder say "string".
  if (structure !== "json") return message;
  const forms = formsOf(message);
  if (!forms) throw invalidParameter("Message Structure - JSON message body failed to parse");
  const { default: fallback, sqs } = forms;
  if (typeof fallback !== "string")
    throw invalidParameter("Message Structure - No default entry in JSON message body");
  const body = typeof sqs === "string" ? sqs : fallback;
  if (body === "") throw invalidParameter("Empty message");
  return body;
}

/** Nothing of it is kept but one text, so it may be any JSON: SNS takes keys that are there twice. */
function formsOf(message: string): { default?: unknown; sqs?: unknown } | undefined {
  try {
    const forms: unknown = JSON.parse(message);
    return typeof forms === "object" && forms !== null && !Array.isArray(forms) ? forms : undefined;
  } catch {
    return undefined;
  }
}

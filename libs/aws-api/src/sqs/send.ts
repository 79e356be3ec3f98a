import {
  messageBytes,
  type MessageInput,
  type Queue,
  type StoredMessage,
  type WriteResult,
} from "@sluice/engine";

import { attempt, batchAnswer, checkBatch, failedEntry, type FailedEntry } from "../batch.ts";
import type { Call } from "../call.ts";
import { AwsError, invalidValue, sqsError } from "../errors.ts";
import { attributesOf, type AttributeWords, type AwsAttributes } from "../message/attributes.ts";
import { md5, md5OfAttributes } from "../message/md5.ts";
import type { SqsInput } from "../model/sqs.ts";
import { messageError } from "./errors.ts";
import { rememberedQueueAt } from "./find-queue.ts";

const MAX_BATCH_BYTES = 1_048_576;
const MAX_DELAY = 900;
export const ID_TEXT = /^[\x21-\x7e]{1,128}$/;
const TRACE_HEADER = "AWSTraceHeader";
/** As X-Ray writes one. It counts toward no message's size, and goes into every answer with the message. */
const TRACE_TEXT = /^[\x20-\x7e]{1,256}$/;

const OF_USER = wordsOf("(user)");
const OF_SYSTEM = wordsOf("system");

type Given = Omit<SqsInput<"SendMessage">, "QueueUrl">;

export async function sendMessage(call: Call, input: SqsInput<"SendMessage">) {
  const queue = await rememberedQueueAt(call, input.QueueUrl);
  const message = messageOf(queue, input);
  const [result] = await send(call, queue, [message]);
  if (!result || "error" in result) {
    throw result
      ? messageError(result.error, { maxBytes: queue.maxMessageSize })
      : sqsError("InternalError", "the message has no result");
  }
  return sentMessage(message, result);
}

export async function sendMessageBatch(call: Call, input: SqsInput<"SendMessageBatch">) {
  const { Entries: entries } = input;
  checkBatch("sqs", "SendMessageBatchRequestEntry", entries);
  const queue = await rememberedQueueAt(call, input.QueueUrl);
  if (queue.fifo) for (const entry of entries) checkGroupOf(queue, entry, refuse);
  const messages = entries.map((entry) => attempt(() => messageOf(queue, entry)));
  const accepted = messages.filter(
    (message): message is MessageInput => !(message instanceof AwsError),
  );
  const bytes = accepted.reduce((sum, message) => sum + messageBytes(message), 0);
  if (bytes > MAX_BATCH_BYTES) {
    throw sqsError(
      "BatchRequestTooLong",
      `Batch requests cannot be longer than ${MAX_BATCH_BYTES} bytes. You have sent ${bytes} bytes.`,
    );
  }
  const results = accepted.length > 0 ? await send(call, queue, accepted) : [];
  const successful: object[] = [];
  const failed: FailedEntry[] = [];
  let next = 0;
  messages.forEach((message, index) => {
    const id = entries[index]?.Id ?? "";
    if (message instanceof AwsError) return void failed.push(failedEntry(id, message));
    const result = results[next] as WriteResult;
    next += 1;
    if ("error" in result) {
      const error = messageError(result.error, { maxBytes: queue.maxMessageSize, inBatch: true });
      failed.push(failedEntry(id, error));
    } else successful.push({ Id: id, ...sentMessage(message, result) });
  });
  return batchAnswer(successful, failed);
}

async function send(call: Call, queue: Queue, messages: MessageInput[]): Promise<WriteResult[]> {
  const { engine, account, repeatableFor } = call;
  const options = { idempotencyKey: call.idempotencyKey(), repeatableFor };
  return await engine.sender.send(account, queue.name, messages, options);
}

function sentMessage(message: MessageInput, result: StoredMessage) {
  const { body, attributes = {}, traceHeader } = message;
  return {
    MessageId: result.messageId,
    MD5OfMessageBody: md5(body),
    MD5OfMessageAttributes: md5OfAttributes(attributes),
    MD5OfMessageSystemAttributes:
      traceHeader === undefined
        ? undefined
        : md5OfAttributes({ [TRACE_HEADER]: { type: "String", value: traceHeader } }),
    SequenceNumber: result.sequenceNumber,
  };
}

/** @throws {AwsError} for what AWS checks before it looks at the message's size and characters */
function messageOf(queue: Queue, given: Given): MessageInput {
  if (given.MessageBody === "") {
    throw sqsError("MissingParameter", "The request must contain the parameter MessageBody.");
  }
  return {
    body: given.MessageBody,
    attributes: attributesOf(given.MessageAttributes, OF_USER),
    traceHeader: traceHeaderOf(given.MessageSystemAttributes),
    ...orderOf(queue, given),
  };
}

function wordsOf(kind: "(user)" | "system"): AttributeWords {
  return {
    refuse,
    empty: (name, type) =>
      `Message ${kind} attribute '${name}' must contain a non-empty value of type '${type}'.`,
  };
}

function refuse(message: string): AwsError {
  return sqsError("InvalidParameterValue", message);
}

function traceHeaderOf(attributes: AwsAttributes | undefined): string | undefined {
  for (const name of attributes?.keys() ?? []) {
    if (name !== TRACE_HEADER) {
      throw refuse(
        `Message system attribute name '${name.slice(0, 256)}' is invalid. Allowed: ${TRACE_HEADER}.`,
      );
    }
  }
  const trace = attributesOf(attributes, OF_SYSTEM)?.[TRACE_HEADER];
  if (trace && trace.type !== "String")
    throw refuse(`The message system attribute '${TRACE_HEADER}' must be of type 'String'.`);
  if (trace && !TRACE_TEXT.test(trace.value)) {
    throw refuse(
      `The message system attribute '${TRACE_HEADER}' must have 1 to 256 characters, of ASCII that can be seen.`,
    );
  }
  return trace?.value;
}

/** Delay, group and deduplication: what may be said depends on the kind of the queue. */
function orderOf(queue: Queue, given: Given) {
  const { DelaySeconds: delay, MessageGroupId: group, MessageDeduplicationId: id } = given;
  const { fifo } = queue;
  if (delay !== undefined && (delay < 0 || delay > MAX_DELAY)) {
    throw invalidValue("DelaySeconds", delay, "DelaySeconds must be >= 0 and <= 900.");
  }
  checkIdText("MessageGroupId", group);
  checkIdText("MessageDeduplicationId", id);
  if (!fifo && id !== undefined) throw notForThisKind("MessageDeduplicationId", id);
  if (fifo) {
    if (delay !== undefined && delay !== 0) throw notForThisKind("DelaySeconds", delay);
    checkGroupOf(queue, given, (message) => sqsError("MissingParameter", message));
  }
  return { delay: fifo ? undefined : delay, groupId: group, deduplicationId: id };
}

/**
 * What each message for a FIFO queue has, or gets from it. One that lacks it has a whole batch refused.
 * @param lacksGroup - Makes the error of a message without a group, which is another one in a batch.
 */
function checkGroupOf(
  queue: Queue,
  {
    MessageGroupId: group,
    MessageDeduplicationId: id,
  }: Pick<Given, "MessageGroupId" | "MessageDeduplicationId">,
  lacksGroup: (message: string) => AwsError,
): void {
  if (group === undefined)
    throw lacksGroup("The request must contain the parameter MessageGroupId.");
  if (id === undefined && !queue.contentBasedDeduplication) {
    throw refuse(
      "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
    );
  }
}

function checkIdText(parameter: string, text: string | undefined): void {
  if (text === undefined || ID_TEXT.test(text)) return;
  throw invalidValue(
    parameter,
    text,
    `${parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length.`,
  );
}

function notForThisKind(parameter: string, value: string | number): AwsError {
  return invalidValue(
    parameter,
    value,
    "The request include parameter that is not valid for this queue type.",
  );
}

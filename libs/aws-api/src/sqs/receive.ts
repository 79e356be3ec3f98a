import { bitCharacter, type MessageAttribute, type ReceivedSlice } from "@sluice/engine";

import type { Call } from "../call.ts";
import { sequenceNumbersOf } from "../contract.ts";
import { invalidValue, sqsError } from "../errors.ts";
import { awsAttribute } from "../message/attributes.ts";
import { md5, md5OfAttributes } from "../message/md5.ts";
import type { SqsInput } from "../model/sqs.ts";
import { queueArn, queueOfUrl } from "../names/queue-address.ts";
import { ID_TEXT } from "./send.ts";

const SYSTEM_ATTRIBUTES = new Set([
  "All",
  "SenderId",
  "SentTimestamp",
  "ApproximateReceiveCount",
  "ApproximateFirstReceiveTimestamp",
  "SequenceNumber",
  "MessageDeduplicationId",
  "MessageGroupId",
  "AWSTraceHeader",
  "DeadLetterQueueSourceArn",
]);

/** What of a message is asked for beside its body. */
interface Selection {
  system: (name: string) => boolean;
  attribute: (name: string) => boolean;
}

/** A stored line, parsed; see serializeMessage. */
interface StoredMessage {
  messageId: string;
  body: string;
  attributes: Record<string, MessageAttribute>;
  groupId?: string;
  deduplicationId?: string;
  traceHeader?: string;
}

export async function receiveMessage(call: Call, input: SqsInput<"ReceiveMessage">) {
  checkLimits(input);
  const selection = selectionOf(input);
  const name = queueOfUrl(call, input.QueueUrl);
  const options = {
    maxMessages: input.MaxNumberOfMessages,
    wait: input.WaitTimeSeconds,
    visibilityTimeout: input.VisibilityTimeout,
    signal: call.signal(),
    attemptId: input.ReceiveRequestAttemptId,
  };
  const received = await call.engine.receiver.receive(call.account, name, options);
  if (received.messages === 0) return {};
  call.releaseUnlessRead(received);
  const messages: object[] = [];
  for (const slice of received.slices) {
    const shared = await sharedAttributes(call, slice, selection);
    const numbers = sequenceNumbersOf(slice);
    slice.lines.forEach((line, index) => {
      const stored = JSON.parse(`{${line}}`) as StoredMessage;
      const handle = slice.handlePrefix + bitCharacter(slice.bits[index] ?? 0);
      const own = ownAttributes(stored, numbers[index], selection);
      messages.push(shownMessage(stored, handle, { ...shared, ...own }, selection));
    });
  }
  return { Messages: messages };
}

function shownMessage(
  { messageId, body, attributes }: StoredMessage,
  handle: string,
  system: Record<string, string>,
  selection: Selection,
): object {
  const names = Object.keys(attributes).filter(selection.attribute);
  const message = {
    MessageId: messageId,
    ReceiptHandle: handle,
    MD5OfBody: md5(body),
    Body: body,
    ...(hasKeys(system) && { Attributes: system }),
  };
  if (names.length === 0) return message;
  const selected = Object.fromEntries(
    names.map((name) => [name, attributes[name] as MessageAttribute]),
  );
  return {
    ...message,
    MD5OfMessageAttributes: md5OfAttributes(selected),
    MessageAttributes: Object.fromEntries(
      Object.entries(selected).map(([name, attribute]) => [name, awsAttribute(attribute)]),
    ),
  };
}

function hasKeys(object: object): boolean {
  return Object.keys(object).length > 0;
}

/** System attributes that all messages of a slice have in common. */
async function sharedAttributes(
  call: Call,
  slice: ReceivedSlice,
  { system }: Selection,
): Promise<Record<string, string>> {
  const shown: Record<string, string> = {};
  // Who sent it is not stored: the account is who may send.
  if (system("SenderId")) shown["SenderId"] = call.account;
  if (system("SentTimestamp")) shown["SentTimestamp"] = String(slice.sentAt);
  if (system("ApproximateReceiveCount"))
    shown["ApproximateReceiveCount"] = String(slice.receiveCount);
  if (system("ApproximateFirstReceiveTimestamp"))
    shown["ApproximateFirstReceiveTimestamp"] = String(slice.firstReceivedAt);
  if (slice.deadLetter && system("DeadLetterQueueSourceArn")) {
    const source = await call.engine.queues.nameOf(call.account, slice.deadLetter.sourceQueueId);
    if (source !== undefined) shown["DeadLetterQueueSourceArn"] = queueArn(call, source);
  }
  return shown;
}

function ownAttributes(
  { groupId, deduplicationId, traceHeader }: StoredMessage,
  sequenceNumber: string | undefined,
  { system }: Selection,
): Record<string, string> {
  const shown: Record<string, string> = {};
  const add = (name: string, value: string | undefined) => {
    if (value !== undefined && system(name)) shown[name] = value;
  };
  add("MessageGroupId", groupId);
  add("MessageDeduplicationId", deduplicationId);
  add("SequenceNumber", sequenceNumber);
  add("AWSTraceHeader", traceHeader);
  return shown;
}

function selectionOf(input: SqsInput<"ReceiveMessage">): Selection {
  const system = new Set([
    ...(input.AttributeNames ?? []),
    ...(input.MessageSystemAttributeNames ?? []),
  ]);
  for (const name of system) {
    if (!SYSTEM_ATTRIBUTES.has(name))
      throw sqsError("InvalidAttributeName", `Unknown Attribute ${name.slice(0, 100)}.`);
  }
  const names = new Set(input.MessageAttributeNames ?? []);
  const prefixes = [...names]
    .filter((name) => name.endsWith(".*"))
    .map((name) => name.slice(0, -1));
  const all = names.has("All") || names.has(".*");
  return {
    system: system.has("All") ? () => true : (name) => system.has(name),
    attribute: (name) =>
      all || names.has(name) || prefixes.some((prefix) => name.startsWith(prefix)),
  };
}

function checkLimits(input: SqsInput<"ReceiveMessage">): void {
  const check = (parameter: keyof typeof input, [min, max]: [number, number], reason: string) => {
    const value = input[parameter];
    if (typeof value === "number" && (value < min || value > max))
      throw invalidValue(parameter, value, reason);
  };
  check("MaxNumberOfMessages", [1, 10], "Must be between 1 and 10, if provided.");
  check("WaitTimeSeconds", [0, 20], "Must be >= 0 and <= 20, if provided.");
  check("VisibilityTimeout", [0, 43_200], "Must be between 0 and 43200, if provided.");
  const { ReceiveRequestAttemptId: id } = input;
  if (id !== undefined && !ID_TEXT.test(id)) {
    throw invalidValue(
      "ReceiveRequestAttemptId",
      id,
      "ReceiveRequestAttemptId can only include alphanumeric and punctuation characters. 1 to 128 in length.",
    );
  }
}

import { bitCharacter, type ReceivedSlice } from "@sluice/engine";
import { roomFor } from "@sluice/http-api";

import type { Call } from "../call.ts";
import { invalidValue, sqsError } from "../errors.ts";
import { keptMessages, shownAttributes, type KeptMessage } from "../message/kept-messages.ts";
import type { SqsInput } from "../model/sqs.ts";
import { queueArn, queueOfUrl } from "../names/queue-address.ts";
import {
  ReceivedMessages,
  type ReceivedMessage,
  type SystemAttributes,
} from "./received-messages.ts";
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

type IsAskedFor = (name: string) => boolean;

/** What of a message is asked for beside its body; undefined for nothing, as it nearly always is. */
interface Selection {
  system: IsAskedFor | undefined;
  attribute: IsAskedFor | undefined;
}

export async function receiveMessage(call: Call, input: SqsInput<"ReceiveMessage">) {
  checkLimits(input);
  const selection = selectionOf(input);
  const name = queueOfUrl(call, input.QueueUrl);
  const options = {
    maxMessages: input.MaxNumberOfMessages,
    length: () => roomFor(),
    wait: input.WaitTimeSeconds,
    visibilityTimeout: input.VisibilityTimeout,
    unhurried: true,
    signal: call.signal(),
    attemptId: input.ReceiveRequestAttemptId,
  };
  const received = await call.engine.receiver.receive(call.account, name, options);
  if (received.messages === 0) return {};
  call.releaseUnlessRead(received);
  const messages: ReceivedMessage[] = [];
  for (const slice of received.slices) {
    const shared = selection.system && (await sharedAttributes(call, slice, selection.system));
    const ofAll = shared && written(shared);
    keptMessages(slice).forEach((kept, index) => {
      const own =
        selection.system && ownAttributes(kept, slice.sequenceNumbers?.[index], selection.system);
      messages.push({
        kept,
        handle: slice.handlePrefix + bitCharacter(slice.bits[index] ?? 0),
        system: own ? written({ ...shared, ...own }) : ofAll,
        attributes: shownAttributes(kept, selection.attribute),
      });
    });
  }
  return new ReceivedMessages(messages);
}

function written(values: Record<string, string>): SystemAttributes | undefined {
  const json = JSON.stringify(values);
  return json === "{}" ? undefined : { values, json };
}

/** System attributes that all messages of a slice have in common. */
async function sharedAttributes(
  call: Call,
  slice: ReceivedSlice,
  system: IsAskedFor,
): Promise<Record<string, string>> {
  const shown: Record<string, string> = {};
  // Who sent it is not stored: the account is who may send.
  if (system("SenderId")) shown["SenderId"] = call.account;
  if (system("SentTimestamp")) shown["SentTimestamp"] = String(slice.sentAt);
  if (system("ApproximateReceiveCount"))
    shown["ApproximateReceiveCount"] = String(slice.receiveCount);
  if (system("ApproximateFirstReceiveTimestamp"))
    shown["ApproximateFirstReceiveTimestamp"] = String(Math.floor(slice.firstReceivedAt));
  if (slice.deadLetter && system("DeadLetterQueueSourceArn")) {
    const source = await call.engine.queues.nameOf(call.account, slice.deadLetter.sourceQueueId);
    if (source !== undefined) shown["DeadLetterQueueSourceArn"] = queueArn(call, source);
  }
  return shown;
}

/** Those that a message has for itself, if it has any. */
function ownAttributes(
  { groupId, deduplicationId, traceHeader }: KeptMessage,
  sequenceNumber: string | undefined,
  system: IsAskedFor,
): Record<string, string> | undefined {
  let shown: Record<string, string> | undefined;
  const add = (name: string, value: string | undefined) => {
    if (value !== undefined && system(name)) (shown ??= {})[name] = value;
  };
  add("MessageGroupId", groupId);
  add("MessageDeduplicationId", deduplicationId);
  add("SequenceNumber", sequenceNumber);
  add("AWSTraceHeader", traceHeader);
  return shown;
}

function selectionOf({
  AttributeNames: older = [],
  MessageSystemAttributeNames: system = [],
  MessageAttributeNames: names = [],
}: SqsInput<"ReceiveMessage">): Selection {
  return { system: systemSelection([...older, ...system]), attribute: attributeSelection(names) };
}

function systemSelection(names: readonly string[]): IsAskedFor | undefined {
  if (names.length === 0) return undefined;
  for (const name of names) {
    if (!SYSTEM_ATTRIBUTES.has(name))
      throw sqsError("InvalidAttributeName", `Unknown Attribute ${name.slice(0, 100)}.`);
  }
  const asked = new Set(names);
  return asked.has("All") ? () => true : (name) => asked.has(name);
}

function attributeSelection(names: readonly string[]): IsAskedFor | undefined {
  if (names.length === 0) return undefined;
  const asked = new Set(names);
  // `a.*` are all that begin with an `a`: the dot belongs to the pattern.
  const prefixes = names.filter((name) => name.endsWith(".*")).map((name) => name.slice(0, -2));
  const all = asked.has("All") || asked.has(".*") || asked.has("*");
  return (name) => all || asked.has(name) || prefixes.some((prefix) => name.startsWith(prefix));
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

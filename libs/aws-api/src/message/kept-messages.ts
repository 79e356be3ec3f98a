import type { MessageAttribute, ReceivedSlice } from "@sluice/engine";

import { awsAttribute } from "./attributes.ts";
import { md5, md5OfAttributes } from "./md5.ts";

/** What is shown of a stored message, whichever queue it is received from. */
export interface KeptMessage extends Omit<StoredMessage, "body"> {
  /** As it stands in JSON. */
  bodyJson: string;
  bodyMd5: string;
  /** What it says of itself in the JSON of an answer, whoever receives it: members, without braces. */
  json: string;
  /** All its attributes as they are shown, once somebody asked for them. */
  shown?: ShownAttributes;
}

export interface ShownAttributes {
  MD5OfMessageAttributes: string | undefined;
  MessageAttributes: object;
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

/** For as long as the engine remembers the lines of the batch. */
const kept = new WeakMap<readonly string[], (KeptMessage | undefined)[]>();

/**
 * The messages of a received slice. Those of a batch that the engine has at hand are made once, not again for each of
 * ten queues: parsing lines and digesting bodies was most of what a receive cost beside the engine.
 */
export function keptMessages({
  lines,
  bits,
  batch,
}: Pick<ReceivedSlice, "lines" | "bits" | "batch">): KeptMessage[] {
  if (!batch) return lines.map(messageOf);
  let messages = kept.get(batch);
  if (!messages) kept.set(batch, (messages = []));
  const of = messages;
  return lines.map((line, index) => (of[bits[index] ?? 0] ??= messageOf(line)));
}

/** Those of its attributes that are asked for; undefined when there are none. */
export function shownAttributes(
  message: KeptMessage,
  isAskedFor: ((name: string) => boolean) | undefined,
): ShownAttributes | undefined {
  if (!isAskedFor) return undefined;
  const all = Object.keys(message.attributes);
  const names = all.filter(isAskedFor);
  if (names.length === 0) return undefined;
  if (names.length === all.length) return (message.shown ??= shownOf(message.attributes));
  return shownOf(
    Object.fromEntries(names.map((name) => [name, message.attributes[name] as MessageAttribute])),
  );
}

function shownOf(attributes: Record<string, MessageAttribute>): ShownAttributes {
  return {
    MD5OfMessageAttributes: md5OfAttributes(attributes),
    MessageAttributes: Object.fromEntries(
      Object.entries(attributes).map(([name, attribute]) => [name, awsAttribute(attribute)]),
    ),
  };
}

function messageOf(line: string): KeptMessage {
  const { body, ...message } = JSON.parse(`{${line}}`) as StoredMessage;
  const { messageId } = message;
  const bodyJson = jsonWithin(line, body);
  const bodyMd5 = md5(body);
  return {
    ...message,
    bodyJson,
    bodyMd5,
    json: `"MessageId":"${messageId}","MD5OfBody":"${bodyMd5}","Body":${bodyJson}`,
  };
}

/** As a part of the line, which V8 keeps as a reference to it: the body is in memory once. */
function jsonWithin(line: string, body: string): string {
  const json = JSON.stringify(body);
  const start = line.indexOf(json);
  return start < 0 ? json : line.slice(start, start + json.length);
}

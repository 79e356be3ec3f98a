import type { EntryError } from "../errors.ts";

/** A typed attribute: `type` is String, Number or Binary with an optional `.label`; a Binary value is base64. */
export interface MessageAttribute {
  type: string;
  value: string;
}

/** A message as a producer hands it over. */
export interface MessageInput {
  body: string;
  attributes?: Record<string, MessageAttribute> | undefined;
  subject?: string | undefined;
  groupId?: string | undefined;
  /** Kept beside the message and handed out with it: X-Ray's header, as AWS' AWSTraceHeader. */
  traceHeader?: string | undefined;
  /** FIFO only: what makes it the same message as one that was accepted within the last 5 minutes. */
  deduplicationId?: string | undefined;
  /** Seconds until it becomes visible; queues only. The queue's own delay when absent. */
  delay?: number | undefined;
}

// What XML 1.0 can carry, which is the rule of SQS (API reference, SendMessage: MessageBody).
// oxlint-disable-next-line no-control-regex -- control characters are the very thing to find
const FORBIDDEN = /[^\u0009\u000A\u000D\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u;
const ATTRIBUTE_NAME = /^(?!aws\.|amazon\.)(?!\.)(?!.*\.\.)(?!.*\.$)[A-Za-z0-9_.-]{1,256}$/i;
// A label may have spaces, as in SNS.
const ATTRIBUTE_TYPE = /^(String|Number|Binary)(\.[ \S]{1,245})?$/;
// One way only to match any run of digits: two would cost the square of its length.
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const MAX_ATTRIBUTES = 10;

/** Checks one message against the rules of LIMITS (queues: body, attributes, size); undefined when it may be stored. */
export function checkMessage(message: MessageInput, maxBytes: number): EntryError | undefined {
  if (message.body.length === 0)
    return invalid("the body is empty; it must have at least 1 character");
  const attributes = message.attributes ? Object.entries(message.attributes) : [];
  if (attributes.length > MAX_ATTRIBUTES) {
    return badAttribute(
      `a message has at most ${MAX_ATTRIBUTES} attributes; this one has ${attributes.length}`,
    );
  }
  // Before anything looks at the characters: no pattern meets more of them than a message may have.
  const bytes = messageBytes(message);
  if (bytes > maxBytes) {
    return {
      code: "message_too_large",
      message: `body and attributes are ${bytes} bytes; the limit here is ${maxBytes}`,
    };
  }
  if (FORBIDDEN.test(message.body)) {
    return invalid(
      "the body has a character that XML 1.0 forbids (allowed: #x9 #xA #xD #x20-#xD7FF #xE000-#xFFFD and above #xFFFF)",
    );
  }
  for (const [name, attribute] of attributes) {
    const problem = checkAttribute(name, attribute);
    if (problem) return badAttribute(`attribute "${name.slice(0, 64)}": ${problem}`);
  }
  return undefined;
}

/** Bytes of body and attributes (name, type and value; a Binary by what it decodes to), which is what limits count. */
export function messageBytes({ body, attributes = {} }: MessageInput): number {
  let bytes = Buffer.byteLength(body);
  for (const [name, attribute] of Object.entries(attributes)) {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(attribute.type) + valueBytes(attribute);
  }
  return bytes;
}

function checkAttribute(name: string, { type, value }: MessageAttribute): string | undefined {
  if (!ATTRIBUTE_NAME.test(name)) {
    return "names have 1-256 of A-Z a-z 0-9 _ . -, no dot at either end or twice in a row, and do not start with AWS. or Amazon.";
  }
  if (!ATTRIBUTE_TYPE.test(type) || FORBIDDEN.test(type))
    return `the type is String, Number or Binary with an optional .label, not "${type.slice(0, 64)}"`;
  if (value.length === 0) return "the value is empty";
  if (type.startsWith("Number") && !NUMBER.test(value)) return "the value is not a number";
  if (type.startsWith("Binary") && !BASE64.test(value)) return "the value of a Binary is base64";
  if (type.startsWith("String") && FORBIDDEN.test(value))
    return "the value has a character that XML 1.0 forbids";
  return undefined;
}

function valueBytes({ type, value }: MessageAttribute): number {
  return Buffer.byteLength(value, type.startsWith("Binary") ? "base64" : "utf8");
}

function invalid(message: string): EntryError {
  return { code: "invalid_message", message };
}

function badAttribute(message: string): EntryError {
  return { code: "invalid_attribute", message };
}

/**
 * The stored form: the members of a JSON object without its braces, so that a response is spliced around it
 * (`{"receiptHandle":…,` + line + `}`) and no body is ever parsed on its way through. JSON escapes control
 * characters, so a line has neither a line break nor the record separator that parts the payloads of one write.
 */
export function serializeMessage(message: MessageInput): string {
  const attributes = message.attributes ? JSON.stringify(message.attributes) : "{}";
  let line = `"body":${JSON.stringify(message.body)},"attributes":${attributes}`;
  if (message.subject !== undefined) line += `,"subject":${JSON.stringify(message.subject)}`;
  if (message.groupId !== undefined) line += `,"groupId":${JSON.stringify(message.groupId)}`;
  if (message.traceHeader !== undefined)
    line += `,"traceHeader":${JSON.stringify(message.traceHeader)}`;
  if (message.deduplicationId !== undefined)
    line += `,"deduplicationId":${JSON.stringify(message.deduplicationId)}`;
  return line;
}

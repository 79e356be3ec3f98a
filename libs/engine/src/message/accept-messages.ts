import type { EntryError } from "../errors.ts";
import type { StoredMessage } from "../write/stored-call.ts";
import { standardMessage } from "./fifo-message.ts";
import { checkMessage, serializeMessage, type MessageInput } from "./message.ts";

/** One message that may be stored. */
export interface AcceptedMessage {
  /** See serializeMessage; its id is put in front once its place is known. */
  line: string;
  /** UTF-8 bytes of the line. */
  bytes: number;
  /** Seconds, -1 for the queue's own. */
  delay: number;
  /** "" where it has none. */
  groupId: string;
  /** Of FIFO topics and queues, where each message has one. */
  deduplicationId?: string | undefined;
}

/** A call's messages after the check. */
export interface AcceptedMessages {
  messages: AcceptedMessage[];
  /** One for each message of the call: why it is refused, undefined where it was accepted. */
  refusals: (EntryError | undefined)[];
}

/** Checks what a kind of topic or queue asks of a message, and completes it. */
export type KindRule = (input: MessageInput) => MessageInput | { refusal: EntryError };

/** Checks and serialises a call's messages; `maxBytes` bounds body and attributes of each one. */
export function acceptMessages(
  inputs: readonly MessageInput[],
  maxBytes: number,
  rule: KindRule = standardMessage,
): AcceptedMessages {
  const messages: AcceptedMessage[] = [];
  const refusals = inputs.map((input) => {
    const refusal = checkMessage(input, maxBytes);
    if (refusal) return refusal;
    const message = rule(input);
    if ("refusal" in message) return message.refusal;
    const { delay = -1, groupId = "", deduplicationId } = message;
    const line = serializeMessage(message);
    messages.push({ line, bytes: Buffer.byteLength(line), delay, groupId, deduplicationId });
    return undefined;
  });
  return { messages, refusals };
}

/** One result a message of the call: what was stored, as many as were accepted, goes to these in order. */
export function resultsOf(
  refusals: readonly (EntryError | undefined)[],
  stored: readonly StoredMessage[],
): (StoredMessage | { error: EntryError })[] {
  let next = 0;
  return refusals.map((refusal) => {
    if (refusal) return { error: refusal };
    const message = stored[next];
    if (!message) throw new Error("a message was stored that has no id");
    next += 1;
    return message;
  });
}

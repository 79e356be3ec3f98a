import type { EntryError } from "../errors.ts";
import { checkMessage, serializeMessage, type MessageInput } from "./message.ts";
import { firstMessageId, messageIdAt } from "./message-ids.ts";

export type { MessageInput } from "./message.ts";

/** A call's messages after the check: those that may be stored, and why the others may not. */
export interface AcceptedMessages {
  firstMessageId: string;
  lines: string[];
  /** UTF-8 bytes of all lines. */
  bytes: number;
  /** Seconds, -1 for the queue's own; one for each line. */
  delays: number[];
  /** One for each message of the call: undefined where it was accepted. */
  refusals: (EntryError | undefined)[];
}

/** Checks and serialises a call's messages; `maxBytes` bounds body and attributes of each one. */
export function acceptMessages(
  messages: readonly MessageInput[],
  maxBytes: number,
): AcceptedMessages {
  const accepted: AcceptedMessages = {
    firstMessageId: firstMessageId(),
    lines: [],
    bytes: 0,
    delays: [],
    refusals: [],
  };
  messages.forEach((message, index) => {
    const refusal = checkMessage(message, maxBytes);
    accepted.refusals.push(refusal);
    if (refusal) return;
    const line = serializeMessage(messageIdAt(accepted.firstMessageId, index), message);
    accepted.lines.push(line);
    accepted.bytes += Buffer.byteLength(line);
    accepted.delays.push(message.delay ?? -1);
  });
  return accepted;
}

/** One result a message. The ids count the messages of the call, refused ones too, so that a repeat yields the same. */
export function resultsOf({
  firstMessageId: first,
  refusals,
}: Pick<AcceptedMessages, "firstMessageId" | "refusals">): (
  { messageId: string } | { error: EntryError }
)[] {
  return refusals.map((refusal, index) =>
    refusal ? { error: refusal } : { messageId: messageIdAt(first, index) },
  );
}

import type { EntryError } from "../errors.ts";
import { checkMessage, serializeMessage, type MessageInput } from "./message.ts";

export type { MessageInput } from "./message.ts";

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
}

/** A call's messages after the check. */
export interface AcceptedMessages {
  messages: AcceptedMessage[];
  /** One for each message of the call: why it is refused, undefined where it was accepted. */
  refusals: (EntryError | undefined)[];
}

/** Checks and serialises a call's messages; `maxBytes` bounds body and attributes of each one. */
export function acceptMessages(
  inputs: readonly MessageInput[],
  maxBytes: number,
): AcceptedMessages {
  const messages: AcceptedMessage[] = [];
  const refusals = inputs.map((input) => {
    const refusal = checkMessage(input, maxBytes);
    if (refusal) return refusal;
    const line = serializeMessage(input);
    messages.push({
      line,
      bytes: Buffer.byteLength(line),
      delay: input.delay ?? -1,
      groupId: input.groupId ?? "",
    });
    return undefined;
  });
  return { messages, refusals };
}

/** One result a message of the call: the ids go to the accepted ones in order. */
export function resultsOf(
  refusals: readonly (EntryError | undefined)[],
  messageIds: readonly string[],
): ({ messageId: string } | { error: EntryError })[] {
  let next = 0;
  return refusals.map((refusal) => {
    if (refusal) return { error: refusal };
    const messageId = messageIds[next] ?? "";
    next += 1;
    return { messageId };
  });
}

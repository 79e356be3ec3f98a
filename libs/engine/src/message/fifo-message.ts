import { createHash } from "node:crypto";

import type { EntryError } from "../errors.ts";
import type { MessageInput } from "./message.ts";

/** LIMITS: queues, group id and deduplication id. */
const TOKEN = /^[!-~]{1,128}$/;

/** What a topic or queue without order asks of a message. */
export function standardMessage(message: MessageInput): MessageInput | { refusal: EntryError } {
  return message.deduplicationId === undefined
    ? message
    : refuse(
        "deduplication ids are for FIFO topics and queues; leave it out, or repeat a call with the same Idempotency-Key",
      );
}

/**
 * What a FIFO topic or queue asks of a message; content-based deduplication gives it the SHA-256 of its body as its id.
 */
export function fifoMessage(
  message: MessageInput,
  { contentBasedDeduplication }: { contentBasedDeduplication: boolean },
): MessageInput | { refusal: EntryError } {
  const { groupId, delay } = message;
  if (groupId === undefined) return refuse("a message to a FIFO topic or queue needs a groupId");
  if (!TOKEN.test(groupId)) return refuse(`the groupId ${TOKEN_RULE}`);
  if (delay !== undefined) {
    return refuse(
      "a message to a FIFO queue has no delay of its own; set the delay of the queue, which counts for all",
    );
  }
  const deduplicationId =
    message.deduplicationId ?? (contentBasedDeduplication ? sha256(message.body) : undefined);
  if (deduplicationId === undefined) {
    return refuse(
      "the message needs a deduplicationId, or its topic or queue contentBasedDeduplication",
    );
  }
  if (!TOKEN.test(deduplicationId)) return refuse(`the deduplicationId ${TOKEN_RULE}`);
  return { ...message, deduplicationId };
}

const TOKEN_RULE = "has 1 to 128 letters, digits and punctuation characters";

function sha256(body: string): string {
  return createHash("sha256").update(body).digest("hex");
}

function refuse(message: string): { refusal: EntryError } {
  return { refusal: { code: "invalid_message", message } };
}

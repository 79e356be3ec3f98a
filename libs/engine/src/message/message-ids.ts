import { v7 as uuidv7 } from "uuid";

/** Of the 32 random bits at its end, the first id of a call leaves this many free to count up without carry. */
const COUNTER_MASK = 0x7fff_ffff;

/**
 * The id of a call's first message: UUIDv7 (RFC 9562). The ids of one call count up from it (section 6.2, method 2), so
 * that an idempotency key needs to remember only this one.
 */
export function firstMessageId(): string {
  const id = uuidv7();
  return id.slice(0, 28) + hex(Number.parseInt(id.slice(28), 16) & COUNTER_MASK);
}

/** The id of the message at `index` in the call whose first id is `first`. */
export function messageIdAt(first: string, index: number): string {
  return first.slice(0, 28) + hex(Number.parseInt(first.slice(28), 16) + index);
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}

import { SluiceError } from "@sluice/client";
import type { HeldMessage } from "./held-message.ts";
import type { EntryErrors } from "./queue-calls.ts";

/** The errors of some entries among all of a call. */
export function part(errors: EntryErrors, first: number, count: number): EntryErrors {
  if (errors.size === 0) return errors;
  const some = [...errors].filter(([index]) => index >= first && index < first + count);
  return new Map(some.map(([index, error]) => [index - first, error]));
}

/** What is left of the errors of a call after a repeat. */
export function withoutDone(
  errors: EntryErrors,
  messages: readonly HeldMessage[],
  doneBy?: number,
): EntryErrors {
  const left = new Map<number, SluiceError>();
  for (const [index, error] of errors) {
    const open = unlessDone(error, messages[index]!, doneBy);
    if (open !== undefined) left.set(index, open);
  }
  return left;
}

/**
 * After a repeat, a message that is no longer held was acknowledged or given back by the first attempt, of which only
 * the answer was lost. For as long as nobody else can have it: later it may as well be in other hands, and not
 * acknowledged.
 */
export function unlessDone(
  error: SluiceError | undefined,
  { lease }: HeldMessage,
  doneBy = performance.now(),
): SluiceError | undefined {
  if (error?.code === "message_not_in_flight") return undefined;
  if (error?.code !== "receipt_handle_expired") return error;
  if (lease.heldUntil > doneBy) return undefined;
  return new SluiceError(error.code, error.message, { outcomeUnknown: true, call: error.call });
}

import { SluiceError } from "@sluice/client";
import { fullJitter, pause } from "@sluice/client/internal";

const backoff = { baseDelayMs: 100, maxDelayMs: 10_000 };
/**
 * A consumer is to be back soon after its server: one that asks to be left alone for days may be well again in a
 * minute.
 */
const maxRetryAfterMs = 60_000;

export interface Availability {
  /** Ends the waiting. */
  readonly signal: AbortSignal;
  readonly onFailure: (error: SluiceError) => void;
}

/**
 * Repeats a call until it succeeds: a consumer outlives any outage of its server. Returns undefined when the signal
 * aborts.
 *
 * Rejects only with what no waiting mends: a queue that does not exist, a call out of rule, a caller without the right.
 */
export async function untilAvailable<T>(
  call: () => Promise<T>,
  { signal, onFailure }: Availability,
): Promise<T | undefined> {
  for (let attempt = 1; !signal.aborted; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!(error instanceof SluiceError) || isFinal(error)) throw error;
      onFailure(error);
      await pauseBefore(attempt + 1, { error, signal });
    }
  }
  return undefined;
}

/** Waits until another attempt is due, of a consumer that goes on for as long as it takes. */
export function pauseBefore(
  attempt: number,
  { error, signal }: { error: SluiceError; signal: AbortSignal },
): Promise<void> {
  const asked = Math.min(error.retryAfterMs ?? 0, maxRetryAfterMs);
  return pause(asked + fullJitter(attempt - 1, backoff), signal);
}

function isFinal({ code, status }: SluiceError): boolean {
  if (status === 401 || status === 403) return true;
  return code === "queue_not_found" || code === "invalid_request" || code === "invalid_name";
}

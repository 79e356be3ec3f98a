import { pause } from "@sluice/client/internal";

/** Waits for the promise, but no longer than the limit. */
export async function within(limitMs: number, promise: Promise<unknown>): Promise<void> {
  const settled = new AbortController();
  await Promise.race([promise, pause(limitMs, settled.signal)]);
  settled.abort();
}

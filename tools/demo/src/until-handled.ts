import { setTimeout as sleep } from "node:timers/promises";
import type { Tally } from "./measure/tally.ts";

/** Longer than a visibility timeout: a message that somebody lost hold of is seen again before this. */
const patienceMs = 45_000;

/**
 * Resolves when every service has handled that many messages, or when none of them has got any further for 45 seconds:
 * then something is missing, which the verdict will say.
 */
export async function untilHandled(
  tallies: readonly Tally[],
  total: number,
  signal: AbortSignal,
): Promise<void> {
  const handled = () => tallies.reduce((sum, tally) => sum + tally.handled.size, 0);
  let last = handled();
  let since = performance.now();
  while (tallies.some((tally) => tally.handled.size < total)) {
    await sleep(20, undefined, { signal });
    if (handled() > last) {
      last = handled();
      since = performance.now();
    } else if (performance.now() - since > patienceMs) return;
  }
}

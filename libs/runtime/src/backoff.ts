export interface Backoff {
  /** Longest first delay, milliseconds. */
  initialMs: number;
  /** No delay is longer, milliseconds. */
  maxMs: number;
  /** 0 to 1, as `Math.random`. */
  random?: () => number;
}

/**
 * The delay before the next try: doubles with each failure up to a limit. The upper half of it is random, so that
 * processes that failed together do not come back together.
 *
 * @param failures how often it has failed in a row, from 1
 * @returns milliseconds
 */
export function backoffDelay(
  failures: number,
  { initialMs, maxMs, random = Math.random }: Backoff,
) {
  const longest = Math.min(maxMs, initialMs * 2 ** Math.min(failures - 1, 30));
  return (longest / 2) * (1 + random());
}

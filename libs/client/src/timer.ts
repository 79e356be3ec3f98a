/** The longest that a timer can be set to, 24.8 days: of anything above, platforms make a millisecond. */
const longestMs = 2 ** 31 - 1;

/** Acts after that many milliseconds, 24.8 days at most; at Infinity never, and returns undefined. */
export function startTimer(act: () => void, ms: number): ReturnType<typeof setTimeout> | undefined {
  return ms === Infinity ? undefined : setTimeout(act, Math.min(ms, longestMs));
}

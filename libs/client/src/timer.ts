/** The longest that a timer can be set to, 24.8 days: of anything above, platforms make a millisecond. */
const longestMs = 2 ** 31 - 1;

/** Acts after that many milliseconds, 24.8 days at most; at Infinity never, and returns undefined. */
export function startTimer(act: () => void, ms: number): ReturnType<typeof setTimeout> | undefined {
  return ms === Infinity ? undefined : setTimeout(act, Math.min(ms, longestMs));
}

/**
 * Returns how to ask for the milliseconds since then, also those through which the machine slept: on Linux the clock of
 * `performance` leaves them out, so the other one is looked at as well.
 */
export function stopwatch(): () => number {
  const [began, beganAt] = [performance.now(), Date.now()];
  return () => Math.max(performance.now() - began, Date.now() - beganAt);
}

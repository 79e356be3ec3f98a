import { onAbort } from "./on-abort.ts";
import { startTimer } from "./timer.ts";

/** Waits that many milliseconds, or until the signal aborts, whichever comes first; never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      leave?.();
      resolve();
    };
    const timer = startTimer(done, ms);
    const leave = signal && onAbort(signal, done);
  });
}

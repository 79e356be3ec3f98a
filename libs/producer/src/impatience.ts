import { SluiceError, type Connection } from "@sluice/client";
import { nameOf, startTimer, type Coalescer } from "@sluice/client/internal";
import { messagesPath, oneBy, type Destination } from "./write.ts";

/** A message that waits for a call. */
export interface Waiter {
  /** By the clock of `performance`. */
  readonly since: number;
  readonly reject: (error: unknown) => void;
}

/**
 * While a call hangs, refuses those behind it that have waited for as long as a call of their own would have taken:
 * else each batch would wait out the ones before it. (As long as calls are answered within the time of one attempt,
 * whoever waits gets his turn.) Begins with a call, and returns how to end with it.
 */
export function impatience(
  waiting: Pick<Coalescer<Waiter>, "first" | "takeWhile">,
  { connection, destination }: { connection: Connection; destination: Destination<never> },
): () => void {
  const { timeoutMs, callLimitMs } = connection;
  const hangsAt = performance.now() + timeoutMs;
  let timer: ReturnType<typeof startTimer>;
  const refuse = () => {
    const now = performance.now();
    const path = messagesPath(destination);
    const call = nameOf({ method: "POST", path, call: `producer.${oneBy[destination.kind]}` });
    const told = `The calls to ${destination.kind} ${destination.name} before it were not answered within ${callLimitMs} ms: it was not sent.`;
    const error = new SluiceError("timeout", told, { outcomeUnknown: false, call });
    for (const { reject } of waiting.takeWhile(({ since }) => since + callLimitMs <= now))
      reject(error);
    watch();
  };
  const watch = () => {
    const now = performance.now();
    const next = Math.max((waiting.first?.since ?? now) + callLimitMs, hangsAt);
    timer = startTimer(refuse, Math.max(1, next - now));
  };
  watch();
  return () => clearTimeout(timer);
}

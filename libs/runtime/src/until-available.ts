import { setTimeout as sleep } from "node:timers/promises";
import { backoffDelay } from "./backoff.ts";
import type { Logger } from "./log/logger.ts";
import { messageOf } from "./log/describe-error.ts";

export interface UntilAvailableOptions {
  logger: Logger;
  /** Ends the waiting: {@link untilAvailable} then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Whether trying again is pointless (a wrong password, say), so that the error is thrown at once. Default never. */
  isFinal?: (error: unknown) => boolean;
  /**
   * What somebody has to do about it, where waiting alone is likely not to help: the line then is an error and says so.
   */
  remedyOf?: (error: unknown) => string | undefined;
  /** Delay after the first failure, milliseconds. Default 100. */
  initialMs?: number;
  /** Longest delay between attempts, milliseconds. Default 5,000. */
  maxMs?: number;
}

/** The first attempts come quickly after one another; one line every this many milliseconds tells enough. */
const logEveryMs = 1_000;

/**
 * Calls `attempt` until it succeeds, with exponential back-off and jitter, and says in the log that it waits. For what
 * a process needs before it can serve, and that may start later than it: Postgres.
 *
 * @throws what `attempt` threw when `isFinal` says so, or the reason of `signal`
 * @example
 * await untilAvailable("Postgres", () => migrate(url), { logger, signal })
 */
export async function untilAvailable<T>(
  what: string,
  attempt: () => Promise<T>,
  options: UntilAvailableOptions,
): Promise<T> {
  const { logger, signal, isFinal = () => false, remedyOf = () => undefined } = options;
  const { initialMs = 100, maxMs = 5_000 } = options;
  const started = Date.now();
  let logged = -Infinity;

  for (let failures = 0; ;) {
    signal?.throwIfAborted();
    try {
      const result = await attempt();
      if (failures > 0) {
        const waitedMs = Date.now() - started;
        logger.info({ event: "dependency.available", what, waitedMs }, `${what} is available`);
      }
      return result;
    } catch (error) {
      if (isFinal(error)) throw error;
      failures += 1;
      const delay = backoffDelay(failures, { initialMs, maxMs });
      if (Date.now() - logged >= logEveryMs) {
        logged = Date.now();
        const root = rootOf(error);
        const reason = messageOf(root);
        const remedy = remedyOf(root);
        const retryInMs = Math.round(delay);
        const fields = { event: "dependency.awaited", what, reason, attempt: failures, retryInMs };
        if (remedy === undefined) logger.warn(fields, `waiting for ${what}`);
        else logger.error(fields, `waiting for ${what}, which refuses: ${remedy}`);
      }
      await sleep(delay, undefined, { signal }).catch(() => signal?.throwIfAborted());
    }
  }
}

/** What it comes from: a library says which query failed, and Postgres why. */
function rootOf(error: unknown): unknown {
  return error instanceof Error && error.cause instanceof Error ? rootOf(error.cause) : error;
}

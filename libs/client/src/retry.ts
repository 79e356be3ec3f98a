import { shown } from "./given.ts";
import { invalidOption, refuseUnknown } from "./options.ts";
import type { OptionNames } from "./options.ts";

/** How a {@link Connection} repeats calls that failed for a reason that may pass. */
export interface RetryOptions {
  /** Upper bound of the first wait, in milliseconds; it doubles with each attempt. Default 100. */
  readonly baseDelayMs?: number;
  /** Upper bound of any wait, in milliseconds, unless the server's `Retry-After` asks for more. Default 5,000. */
  readonly maxDelayMs?: number;
  /** No attempt begins later than this after the first one, in milliseconds. Default 60,000, at most 150,000. */
  readonly budgetMs?: number;
}

export type RetryPolicy = Required<RetryOptions>;

/**
 * The server remembers an idempotency key for five minutes; a budget of at most half of that leaves no clock, timeout
 * or pause by which a repeat could arrive after its key has been forgotten and store the messages a second time.
 */
const maxBudgetMs = 150_000;

const names: OptionNames<RetryOptions> = { baseDelayMs: true, maxDelayMs: true, budgetMs: true };

export function retryPolicy(options: RetryOptions = {}): RetryPolicy {
  refuseUnknown(options, names, "retry.");
  const policy = {
    baseDelayMs: 100,
    maxDelayMs: 5_000,
    budgetMs: 60_000,
    ...withoutUndefined(options),
  };
  for (const [name, value] of Object.entries(policy)) {
    if (!(typeof value === "number" && value >= 0))
      throw invalidOption(`retry.${name}`, `expected milliseconds from 0, got ${shown(value)}`);
  }
  if (policy.budgetMs > maxBudgetMs) {
    throw invalidOption(
      "retry.budgetMs",
      `expected at most ${maxBudgetMs}, got ${policy.budgetMs}`,
    );
  }
  return policy;
}

/**
 * Full jitter: a wait drawn evenly from zero to the doubling bound, so that clients failing together do not return
 * together.
 */
export function fullJitter(
  attempt: number,
  policy: { baseDelayMs: number; maxDelayMs: number },
): number {
  return Math.random() * Math.min(policy.maxDelayMs, policy.baseDelayMs * 2 ** (attempt - 1));
}

/** The wait before the next attempt, never shorter than what the server asked for. */
export function retryDelay(attempt: number, policy: RetryPolicy, retryAfterMs: number = 0): number {
  return retryAfterMs + fullJitter(attempt, policy);
}

function withoutUndefined<T extends object>(options: T): Partial<T> {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as Partial<T>;
}

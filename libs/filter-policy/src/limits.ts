import { FilterPolicyError } from "./filter-policy-error.ts";
import { isAlternatives, isPlainObject, valuesOf } from "./rule.ts";

/** Limits of AWS: docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html */
export const MAX_KEYS = 5;
const MAX_BYTES = 256 * 1024;
const MAX_COMBINATIONS = 150;
/** Ours: levels of objects and alternatives, so that no policy exhausts the stack. */
export const MAX_DEPTH = 64;

/**
 * Before anything else is done with a policy, whose form is not known yet: so it goes down no stack, and no further
 * than it has to.
 * @throws {FilterPolicyError}
 */
export function checkSize(policy: object): void {
  let bytes = 0;
  const pending: unknown[] = [policy];
  while (pending.length > 0) {
    const value = pending.pop();
    // With commas between, and a colon after each key.
    if (Array.isArray(value)) {
      bytes += Math.max(2, value.length + 1);
      for (const each of value) pending.push(each);
    } else if (isPlainObject(value)) {
      const entries = Object.entries(value);
      bytes += Math.max(2, 2 * entries.length + 1);
      for (const entry of entries) pending.push(...entry);
    } else bytes += bytesOf(value);
    if (bytes > MAX_BYTES)
      throw new FilterPolicyError([], `a filter policy has at most ${MAX_BYTES} bytes as JSON`);
  }
}

function bytesOf(scalar: unknown): number {
  return typeof scalar === "string"
    ? Buffer.byteLength(JSON.stringify(scalar))
    : String(scalar).length;
}

/**
 * The number of rules under each key times its level, multiplied over all keys; alternatives are added up, and so are
 * the wildcards of a list inside anything-but. The policy is known to be well formed.
 * @throws {FilterPolicyError}
 */
export function checkComplexity(policy: Record<string, unknown>): void {
  const combinations = combinationsOf(policy, 1);
  if (combinations > MAX_COMBINATIONS) {
    throw new FilterPolicyError(
      [],
      `the rules under each key, times the level of the key, multiply to ${combinations} combinations; ` +
        `at most ${MAX_COMBINATIONS} are possible: name fewer values, or split the subscription`,
    );
  }
}

function combinationsOf(policy: Record<string, unknown>, level: number): number {
  let product = 1;
  for (const [key, value] of Object.entries(policy)) {
    if (isPlainObject(value)) product *= combinationsOf(value, level + 1);
    else if (key === "$or" && isAlternatives(value)) {
      product *= sum(value.map((each) => combinationsOf(each, level)));
    } else product *= sum((value as unknown[]).map(valuesOf)) * level;
  }
  return product;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

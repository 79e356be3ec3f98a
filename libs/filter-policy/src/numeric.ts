import { FilterPolicyError } from "./filter-policy-error.ts";
import {
  comparable,
  hasFiveDecimals,
  isComparableNumber,
  MAX_NUMBER,
  type Scalar,
} from "./scalar.ts";

type Path = readonly (string | number)[];

const comparisons: Record<string, (value: number, bound: number) => boolean> = {
  "=": (value, bound) => value === bound,
  "<": (value, bound) => value < bound,
  "<=": (value, bound) => value <= bound,
  ">": (value, bound) => value > bound,
  ">=": (value, bound) => value >= bound,
};

/**
 * Compiles `["=", 5]`, `["<", 5]` … and ranges, the lower bound first: `[">", 0, "<=", 150]`.
 * @throws {FilterPolicyError}
 */
export function compileNumeric(terms: unknown, path: Path): (value: Scalar) => boolean {
  if (!Array.isArray(terms) || (terms.length !== 2 && terms.length !== 4)) {
    throw new FilterPolicyError(
      path,
      'numeric takes a comparison, ["=", 5], or a range, [">=", 0, "<", 150]',
    );
  }
  const [first, low, second, high] = terms as unknown[];
  const lower = comparisonOf(first, low, [...path, 0]);
  if (terms.length === 2) return numbersThat(lower);
  const upper = comparisonOf(second, high, [...path, 2]);
  if ((first !== ">" && first !== ">=") || (second !== "<" && second !== "<="))
    throw new FilterPolicyError(path, "a range is > or >= and then < or <=");
  if ((low as number) >= (high as number))
    throw new FilterPolicyError(path, "the lower bound of a range is below its upper bound");
  return numbersThat((value) => lower(value) && upper(value));
}

function numbersThat(test: (value: number) => boolean): (value: Scalar) => boolean {
  return (value) => isComparableNumber(value) && test(comparable(value) as number);
}

function comparisonOf(operator: unknown, bound: unknown, path: Path): (value: number) => boolean {
  const compare =
    typeof operator === "string" && Object.hasOwn(comparisons, operator)
      ? comparisons[operator]
      : undefined;
  if (!compare) throw new FilterPolicyError(path, "compare with =, <, <=, > or >=");
  const limit = comparable(checkNumber(bound, [...path.slice(0, -1), Number(path.at(-1)) + 1]));
  return (value) => compare(value, limit as number);
}

/** A number that a policy may name. @throws {FilterPolicyError} */
export function checkNumber(value: unknown, path: Path): number {
  if (typeof value !== "number") throw new FilterPolicyError(path, "here stands a number");
  if (!isComparableNumber(value)) {
    throw new FilterPolicyError(
      path,
      `numbers are compared from -${MAX_NUMBER} to ${MAX_NUMBER}; this one is beyond it`,
    );
  }
  if (!hasFiveDecimals(value))
    throw new FilterPolicyError(path, "numbers are compared to five decimals; this one has more");
  return value;
}

/** What a policy compares: the leaves of a body, and the values of attributes. */
export type Scalar = string | number | boolean | null;

export function isScalar(value: unknown): value is Scalar {
  return value === null || ["string", "number", "boolean"].includes(typeof value);
}

/** Numbers are compared within this of zero (AWS: filter policy constraints). */
export const MAX_NUMBER = 1e9;
/** … to five digits after the point. Within the bound every multiple is exact. */
const PRECISION = 1e5;

/** The form in which values are equal or not: numbers to five digits, everything else as it is. */
export function comparable(value: Scalar): Scalar {
  return typeof value === "number" ? Math.round(value * PRECISION) : value;
}

export function isComparableNumber(value: unknown): value is number {
  return typeof value === "number" && Math.abs(value) <= MAX_NUMBER;
}

/** Whether a policy may name this number: a digit that is never compared is a mistake. */
export function hasFiveDecimals(value: number): boolean {
  return Math.round(value * PRECISION) / PRECISION === value;
}

/**
 * Array parameters as Postgres array literals: `{1,2,3}`. The driver would quote and escape each element for
 * itself; numbers and ids need neither.
 */
export function numbers(values: readonly (number | string | bigint)[]): string {
  return `{${values.join(",")}}`;
}

/** For plain tokens only (keys, UUIDs): quotes each one, so that commas and braces are safe. */
export function texts(values: readonly string[]): string {
  return `{${values.map((value) => `"${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`).join(",")}}`;
}

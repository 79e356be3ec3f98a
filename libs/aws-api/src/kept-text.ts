/**
 * Whether a text without a meaning here can be kept to be shown again: one line, without what Postgres cannot store.
 */
export function isLine(text: string, max: number): boolean {
  return text.length <= max && !/[\p{Cc}\p{Cs}]/u.test(text);
}

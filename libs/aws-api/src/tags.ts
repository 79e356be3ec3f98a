export function withoutTags(
  tags: Readonly<Record<string, string>>,
  keys: readonly string[],
): Record<string, string> {
  const gone = new Set(keys);
  return Object.fromEntries(Object.entries(tags).filter(([key]) => !gone.has(key)));
}

/**
 * What is wrong with the tags of a queue or topic, undefined when nothing is (LIMITS: tags). Characters are code
 * points, as in the native API.
 */
export function problemOfTags(tags: Readonly<Record<string, string>>): string | undefined {
  const entries = Object.entries(tags);
  if (entries.length > 50) return "Too many tags added: at most 50 are possible.";
  for (const [key, value] of entries) {
    if (key === "" || Array.from(key).length > 128)
      return "Tag keys must be between 1 and 128 characters in length.";
    if (Array.from(value).length > 256)
      return "Tag values must be between 0 and 256 characters in length.";
    if (/^aws:/i.test(key)) return "Tag keys must not start with aws:.";
    if (/[\p{Cc}\p{Cs}]/u.test(key + value)) return "Tags must not have control characters.";
  }
  return undefined;
}

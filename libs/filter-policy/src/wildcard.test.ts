import fc from "fast-check";
import { expect, test } from "vitest";

import { compileWildcard, type Text } from "./wildcard.ts";

/** A text that counts how often it is asked for a character. */
function counted(value: string): { text: Text; reads: () => number } {
  let reads = 0;
  const text = {
    length: value.length,
    charCodeAt(index: number) {
      reads += 1;
      return value.charCodeAt(index);
    },
  };
  return { text, reads: () => reads };
}

const hostile: [string, string][] = [
  ["*a*a*a*a*b", "a".repeat(10_000)],
  [`*${"a".repeat(5_000)}b*`, "a".repeat(10_000)],
  [`*${"ab".repeat(2_500)}c*${"ab".repeat(2_500)}d*`, "ab".repeat(5_000)],
  [`*${"a".repeat(50)}*${"a".repeat(50)}b*`, `${"a".repeat(99)}c`.repeat(100)],
  [`${"a".repeat(5_000)}*${"a".repeat(5_000)}`, "a".repeat(9_999)],
];

test.each(hostile)(
  "a hostile pattern reads each character twice at most (%#)",
  (pattern, value) => {
    const { text, reads } = counted(value);
    compileWildcard(pattern, [])(text);
    expect(reads()).toBeLessThanOrEqual(2 * value.length);
  },
);

test("patterns match what a search through all possibilities finds", () => {
  const letters = fc.constantFrom("a", "b", "aa", "ab");
  const pattern = fc
    .array(fc.array(letters, { maxLength: 3 }), { minLength: 1, maxLength: 5 })
    .map((parts) => parts.map((part) => part.join("")).join("*"))
    .filter((joined) => !joined.includes("**"));
  const value = fc.array(letters, { maxLength: 8 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(pattern, value, (stars, text) => {
      expect(compileWildcard(stars, [])(text)).toBe(slowly(stars, text));
    }),
    { numRuns: 2_000 },
  );
});

test("patterns match long texts, whose parts are looked for first, as they match others", () => {
  const letters = fc.constantFrom("a", "b", "c", "ab", "abc", "bca", "cab");
  const part = fc.array(letters, { maxLength: 4 }).map((each) => each.join(""));
  const parts = fc
    .array(part, { minLength: 3, maxLength: 5 })
    .filter((each) => each.slice(1, -1).every((inner) => inner !== ""));
  const value = fc.array(letters, { maxLength: 8 }).map((each) => each.join(""));
  fc.assert(
    fc.property(fc.array(parts, { minLength: 2 }), value, value, (patterns, begin, end) => {
      const text = begin + "ab".repeat(2_500) + end;
      for (const each of patterns)
        expect(compileWildcard(each.join("*"), [])(text)).toBe(inOrder(each, text));
    }),
    { numRuns: 500 },
  );
});

function inOrder(parts: readonly string[], text: string): boolean {
  const [first = "", last = ""] = [parts[0], parts.at(-1)];
  if (!text.startsWith(first) || !text.endsWith(last)) return false;
  const inner = text.slice(first.length, text.length - last.length);
  let from = 0;
  for (const part of parts.slice(1, -1)) {
    const at = inner.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return true;
}

function slowly(pattern: string, text: string): boolean {
  if (pattern === "") return text === "";
  if (pattern.startsWith("*")) {
    const rest = pattern.slice(1);
    return Array.from({ length: text.length + 1 }, (_, start) => text.slice(start)).some((tail) =>
      slowly(rest, tail),
    );
  }
  return text.startsWith(pattern.charAt(0)) && slowly(pattern.slice(1), text.slice(1));
}

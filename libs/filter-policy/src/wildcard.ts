import { FilterPolicyError } from "./filter-policy-error.ts";
import { mayHave } from "./grams.ts";

/** All that matching asks of a text; a test counts the calls. */
export type Text = Pick<string, "charCodeAt" | "length">;

/** What stands between two stars, with the table that finds it without going back. */
interface Part {
  text: string;
  /** Of Knuth, Morris and Pratt: where to go on in the part when the next character differs. */
  fallback: Uint32Array;
}

/** A star is any run of characters, also none; more of them in one pattern than this are hardly meant. */
const MAX_STARS = 5;

/**
 * Compiles a wildcard: `*` is any run of characters, `\*` and `\\` are the characters themselves.
 *
 * Each part between two stars is looked for once, from where the one before it ended: the first place that fits leaves
 * most for the parts that follow, so there is never a reason to go back. With the fallback tables this reads each
 * character of the text at most twice, whatever the pattern. (As a regular expression `a*a*a*a*a*a*b` takes seconds on
 * 100 characters.)
 *
 * @throws {FilterPolicyError} for too many stars, two in a row, or a backslash before anything else
 */
export function compileWildcard(
  pattern: string,
  path: readonly (string | number)[],
): (text: Text) => boolean {
  const parts = partsOf(pattern, path);
  const first = parts[0];
  const last = parts.at(-1);
  if (first === undefined || last === undefined) throw new Error("a pattern has at least one part");
  if (parts.length === 1) return (text) => text.length === first.length && endsWith(text, first);
  const middle = parts.slice(1, -1).map(partOf);
  const least = parts.reduce((sum, part) => sum + part.length, 0);
  return (text) => {
    if (text.length < least) return false;
    if (!fits(text, 0, first) || !endsWith(text, last)) return false;
    if (typeof text === "string" && middle.some((part) => !mayHave(text, part.text))) return false;
    const end = text.length - last.length;
    let from = first.length;
    for (const part of middle) {
      from = endOf(part, text, from, end);
      if (from < 0) return false;
    }
    return from <= end;
  };
}

function partsOf(pattern: string, path: readonly (string | number)[]): string[] {
  const parts = [""];
  for (let index = 0; index < pattern.length; index += 1) {
    let character = pattern.charAt(index);
    if (character === "*") {
      if (pattern.charAt(index + 1) === "*")
        throw new FilterPolicyError(
          path,
          "two stars in a row mean no more than one; leave one out",
        );
      parts.push("");
      continue;
    }
    if (character === "\\") {
      index += 1;
      character = pattern.charAt(index);
      if (character !== "*" && character !== "\\")
        throw new FilterPolicyError(path, String.raw`a backslash stands before * or \ only`);
    }
    parts[parts.length - 1] += character;
  }
  if (parts.length - 1 > MAX_STARS) {
    throw new FilterPolicyError(
      path,
      `a wildcard has at most ${MAX_STARS} stars, not ${parts.length - 1}`,
    );
  }
  return parts;
}

function partOf(text: string): Part {
  const fallback = new Uint32Array(text.length);
  let matched = 0;
  for (let index = 1; index < text.length; index += 1) {
    while (matched > 0 && text.charCodeAt(index) !== text.charCodeAt(matched))
      matched = fallback[matched - 1] ?? 0;
    if (text.charCodeAt(index) === text.charCodeAt(matched)) matched += 1;
    fallback[index] = matched;
  }
  return { text, fallback };
}

/** Where the first occurrence between `from` and `end` ends; -1 when there is none. */
function endOf({ text: part, fallback }: Part, text: Text, from: number, end: number): number {
  let matched = 0;
  for (let index = from; index < end; index += 1) {
    const character = text.charCodeAt(index);
    while (matched > 0 && character !== part.charCodeAt(matched))
      matched = fallback[matched - 1] ?? 0;
    if (character === part.charCodeAt(matched)) matched += 1;
    if (matched === part.length) return index + 1;
  }
  return -1;
}

function endsWith(text: Text, part: string): boolean {
  return fits(text, text.length - part.length, part);
}

function fits(text: Text, from: number, part: string): boolean {
  for (let index = 0; index < part.length; index += 1) {
    if (text.charCodeAt(from + index) !== part.charCodeAt(index)) return false;
  }
  return true;
}

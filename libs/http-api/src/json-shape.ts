import { SluiceError } from "@sluice/engine";

/** Far above any valid request, far below what would exhaust the stack of whatever walks the value. */
const MAX_DEPTH = 32;
/** Of one object. The largest one that means anything is the 50 tags of a topic. */
const MAX_KEYS = 1_000;
/** Of one list. Above the 1,000 of a call, so that a call that is somewhat too long hears that from its schema. */
const MAX_ENTRIES = 10_000;

/** An object or list that is open where the scan stands. */
interface Open {
  /** Those of an object so far; undefined for a list. */
  keys: Set<string> | undefined;
  entries: number;
  /** In an object: whether the next string is a key. */
  expectsKey: boolean;
}

/**
 * Looks at the text of a JSON value before it is parsed, and refuses what would cost far more than its bytes later on,
 * and what is read differently by different parsers: deep nesting, masses of entries, the same key twice, `__proto__`.
 *
 * Text that is no JSON may pass: the parser is next.
 *
 * @throws {SluiceError} `malformed_json` for depth and doubled keys, `invalid_request` otherwise
 */
export function checkShape(text: string): void {
  const open: Open[] = [];
  let inner: Open | undefined;
  for (let index = 0; index < text.length; index += 1) {
    switch (text.charCodeAt(index)) {
      case QUOTE: {
        const end = endOfString(text, index);
        if (inner?.expectsKey) addKey(inner, text.slice(index + 1, end));
        index = end;
        break;
      }
      case OPEN_BRACE:
      case OPEN_BRACKET: {
        if (open.length === MAX_DEPTH)
          throw malformed(`the body nests deeper than ${MAX_DEPTH} levels`);
        const isObject = text.charCodeAt(index) === OPEN_BRACE;
        inner = { keys: isObject ? new Set() : undefined, entries: 1, expectsKey: isObject };
        open.push(inner);
        break;
      }
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        open.pop();
        inner = open.at(-1);
        break;
      case COMMA:
        if (inner) nextEntry(inner);
        break;
    }
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

function addKey(object: Open, raw: string): void {
  const key = raw.includes("\\") ? unescaped(raw) : raw;
  if (key === "__proto__") throw invalid('the key "__proto__" is not accepted');
  if (object.keys?.has(key)) throw malformed(`the key "${key.slice(0, 64)}" is in an object twice`);
  object.keys?.add(key);
  object.expectsKey = false;
}

function nextEntry(inner: Open): void {
  inner.entries += 1;
  inner.expectsKey = inner.keys !== undefined;
  const max = inner.keys ? MAX_KEYS : MAX_ENTRIES;
  if (inner.entries > max)
    throw invalid(`${inner.keys ? "an object" : "a list"} has more than ${max} entries`);
}

function unescaped(raw: string): string {
  try {
    return JSON.parse(`"${raw}"`) as string;
  } catch {
    return raw;
  }
}

/** Where the string that begins at `start` ends; native searches skip its text. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end < 0 ? text.length : end;
}

function isEscaped(text: string, quote: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes += 1;
  return backslashes % 2 === 1;
}

function malformed(message: string): SluiceError {
  return new SluiceError("malformed_json", message);
}

function invalid(message: string): SluiceError {
  return new SluiceError("invalid_request", message, { details: [{ path: "body", message }] });
}

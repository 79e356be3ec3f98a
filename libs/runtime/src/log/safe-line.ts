const longestField = 4_096;
/** A line with no field over the limit is rarely this long; longer ones are worth parsing to find out. */
const longLine = 8_192;

// JSON escapes what is below U+0020. DEL, the C1 controls (U+009B starts a terminal sequence like ESC [) and the
// Unicode line ends pass through it, and inside a JSON text they can only stand in strings.
const rawControls = /[\u007f-\u009f\u2028\u2029]/g;

// Keys at any depth, also `x-api-key` or `dbPassword`; the value is a JSON string.
const secretFields =
  /"([^"\\]*(?:password|passwd|secret|token|authorization|cookie|api[-_]?key|credential)[^"\\]*)":"(?:[^"\\]|\\.)*"/gi;

// postgres://user:password@host inside a message. The user stays: it tells which account failed. The repetitions are
// bounded so that no text makes the search slow.
const urlPasswords = /(\b[a-z][a-z0-9+.-]{0,15}:\/\/[^\s:@/"\\]{0,128}):[^\s"\\]{0,256}@/gi;

/** Makes one JSON log line safe to show and to keep. It stays the same JSON but for what is hidden or cut. */
export function safeLine(line: string): string {
  const short = line.length > longLine ? cutFields(line) : line;
  return short
    .replace(secretFields, '"$1":"[redacted]"')
    .replace(urlPasswords, "$1:[redacted]@")
    .replace(rawControls, escapeCharacter);
}

function cutFields(line: string): string {
  const cut = (_key: string, value: unknown) =>
    typeof value === "string" && value.length > longestField
      ? `${value.slice(0, longestField)}… (${value.length} characters)`
      : value;
  return `${JSON.stringify(JSON.parse(line, cut))}\n`;
}

/** Writes a control character as JSON does: `\u001b`. */
export function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

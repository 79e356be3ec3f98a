import type { ErrorDescription } from "./describe-error.ts";
import { escapeCharacter } from "./safe-line.ts";

interface Line {
  time: string;
  level: string;
  name: string;
  event: string;
  message?: string;
  err?: ErrorDescription;
  [field: string]: unknown;
}

// Parsing the JSON brings every escaped control character back to life.
// oxlint-disable-next-line no-control-regex
const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** Turns a JSON log line into text for people: `07:12:33.123  INFO   api  The API listens  api.listening  url=…`. */
export function prettyLine(json: string): string {
  const { time, level, name, event, message, err, ...fields } = JSON.parse(json) as Line;
  const head = [time.slice(11, 23), level.toUpperCase().padEnd(5), name];
  const tail = Object.entries(fields).map(([key, value]) => `${key}=${shown(value)}`);
  const parts = [...head, ...(message === undefined ? [] : [message]), event, ...tail];
  const line = `${printable(parts.join("  "))}\n`;
  return err === undefined ? line : line + errorLines(err);
}

function shown(value: unknown): string {
  return typeof value === "string" && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}

function errorLines(err: ErrorDescription, label = ""): string {
  const text = label + (err.stack ?? `${err.type}: ${err.message}`);
  const lines = text.split("\n").map((line) => `    ${printable(line)}\n`);
  return lines.join("") + (err.cause === undefined ? "" : errorLines(err.cause, "caused by "));
}

function printable(text: string): string {
  return text.replace(controls, escapeCharacter);
}

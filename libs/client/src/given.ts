import { SluiceError } from "./errors.ts";

/*
 * What functions of the program throw, or their promises reject with, may be anything: also what throws in its turn when it is looked at, such as
 * an error with a getter, a Proxy that was revoked, or an object that cannot be made to text.
 */

/** What a look at something finds; undefined when it throws. */
export function safely<Found>(look: () => Found): Found | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

/**
 * What something that was thrown says: its message, or itself where it is no object; undefined when that is nothing or
 * cannot be read.
 */
export function messageOf(thrown: unknown): string | undefined {
  if (thrown === undefined || thrown === null) return undefined;
  if (typeof thrown === "object" || typeof thrown === "function")
    return textOf(safely(() => (thrown as Error).message));
  return textOf(String(thrown as string | number | bigint | boolean | symbol));
}

/** The same, or what kind of error it is where it says nothing. */
export function sayingOf(thrown: unknown): string | undefined {
  return messageOf(thrown) ?? textOf(safely(() => (thrown as Error).name));
}

export function isSluiceError(thrown: unknown): thrown is SluiceError {
  return safely(() => thrown instanceof SluiceError) ?? false;
}

/** How an error shows a value that it is about: as JSON, shortened; by its type where it has none. */
export function shown(value: unknown): string {
  if (typeof value === "number") return String(value);
  const json: unknown = safely(() => JSON.stringify(value));
  if (typeof json !== "string") return typeof value;
  return json.length > 100 ? `${json.slice(0, 100)}…` : json;
}

/**
 * Writes a line to the console, with something that was thrown: the console looks at it, and throws what that throws.
 */
export function tellConsole(line: string, thrown: unknown): void {
  try {
    console.error(line, thrown);
  } catch {
    safely(() => console.error(`${line}: ${sayingOf(thrown) ?? "something that cannot be shown"}`));
  }
}

function textOf(said: unknown): string | undefined {
  return typeof said === "string" && said !== "" ? said : undefined;
}

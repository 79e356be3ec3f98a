interface LogLine {
  readonly level?: string;
  readonly message?: string;
  readonly event?: string;
  readonly err?: { readonly message?: string };
}

/** What a line of a process' log complains about; undefined for one that is no error. */
export function complaintIn(line: string): string | undefined {
  // Not JSON: Node itself, most likely about a crash.
  if (!line.startsWith("{")) return line === "" ? undefined : line;
  try {
    const { level, event, message, err } = JSON.parse(line) as LogLine;
    if (level !== "error" && level !== "fatal") return undefined;
    return [event, message, err?.message].filter((part) => part !== undefined).join(": ");
  } catch {
    return line;
  }
}

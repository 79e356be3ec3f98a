/** Something that a process logged as an error. */
export interface Complaint {
  kind: string;
  event: string;
  message: string;
  /** Where the error was made, with its code and what caused it. */
  stack: string;
  /** How many it stands for: of those that are alike a process writes only the first ones one by one. */
  count: number;
}

/** What a line of a log says, if it is an error of which nobody can say that it was to be expected. */
export function complaintOf(kind: string, line: string): Complaint | undefined {
  if (!line.startsWith('{"level":"error"') && !line.startsWith('{"level":"fatal"'))
    return undefined;
  try {
    const { event = "", message, err, repeated: count = 1 } = JSON.parse(line) as Line;
    return { kind, event, message: err?.message ?? message ?? "", stack: stackOf(err), count };
  } catch {
    return undefined;
  }
}

interface Line {
  event?: string;
  message?: string;
  err?: Described;
  repeated?: number;
}

interface Described {
  message?: string;
  code?: string | number;
  stack?: string;
  cause?: Described;
}

function stackOf(error: Described | undefined): string {
  if (!error) return "";
  const { stack = error.message ?? "", code, cause } = error;
  return `${code === undefined ? "" : `${code} `}${stack}${cause ? `\ncaused by ${stackOf(cause)}` : ""}`;
}

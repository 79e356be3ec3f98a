/** Something that a process logged as an error. */
export interface Complaint {
  kind: string;
  event: string;
  message: string;
}

/** What a line of a log says, if it is an error of which nobody can say that it was to be expected. */
export function complaintOf(kind: string, line: string): Complaint | undefined {
  if (!line.startsWith('{"level":"error"') && !line.startsWith('{"level":"fatal"'))
    return undefined;
  try {
    const {
      event = "",
      message,
      msg,
      err,
    } = JSON.parse(line) as Record<string, string> & {
      err?: { message?: string };
    };
    return { kind, event, message: err?.message ?? message ?? msg ?? "" };
  } catch {
    return undefined;
  }
}

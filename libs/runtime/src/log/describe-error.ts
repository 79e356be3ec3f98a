/** What a log line keeps of an error. */
export interface ErrorDescription {
  type: string;
  message: string;
  code?: string | number;
  stack?: string;
  cause?: ErrorDescription;
}

const deepestCause = 4;

/**
 * Keeps only what is known to be harmless: libraries hang queries with their parameters, requests and whole
 * configurations on the errors they throw, and pino's own serializer would copy all of it.
 */
export function describeError(error: unknown, depth = 0): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, message: textOf(error) };
  const { code } = error as { code?: unknown };
  return {
    type: error.name,
    message: messageOf(error),
    ...((typeof code === "string" || typeof code === "number") && { code }),
    ...(error.stack !== undefined && { stack: withoutParameters(error, error.stack) }),
    ...(error.cause !== undefined &&
      depth < deepestCause && { cause: describeError(error.cause, depth + 1) }),
  };
}

/** One line that says what went wrong, for a message on a terminal. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return textOf(error);
  // Node's connection errors over several addresses are an AggregateError without a message of its own.
  if (error.message === "" && error instanceof AggregateError) {
    return error.errors.map(messageOf).join(", ");
  }
  return withoutParameters(error, error.message) || error.name;
}

/** Drizzle writes what a query was called with, bodies and all, into its message, and so into the head of its stack. */
function withoutParameters(error: Error, text: string): string {
  const { message } = error;
  const end = "params" in error ? message.indexOf("\nparams: ") : -1;
  return end < 0 ? text : text.replace(message, () => message.slice(0, end));
}

function textOf(value: unknown): string {
  try {
    return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  } catch {
    return String(value);
  }
}

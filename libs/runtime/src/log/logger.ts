import { pino, destination, stdTimeFunctions, type DestinationStream } from "pino";
import { describeError, messageOf } from "./describe-error.ts";
import { prettyLine } from "./pretty-line.ts";
import { safeLine } from "./safe-line.ts";

/**
 * Structured log of a process. Every line names its event (`"api.listening"`): events are an API that dashboards and
 * alerts rely on, the sentence beside them is for people. A pino logger is one; so is anything with these methods.
 */
export interface Logger {
  debug(fields: LogFields, message?: string): void;
  info(fields: LogFields, message?: string): void;
  warn(fields: LogFields, message?: string): void;
  error(fields: LogFields, message?: string): void;
  fatal(fields: LogFields, message?: string): void;
  /** A logger that adds these fields to each of its lines. */
  child(fields: Record<string, unknown>): Logger;
}

export interface LogFields {
  /** `subject.what-happened`, in the past or present tense: "sweeper.failed", "api.listening". */
  event: string;
  /** What was thrown. Its type, message, code, stack and causes are written, nothing else it carries. */
  err?: unknown;
  [field: string]: unknown;
}

export interface LoggerOptions {
  /** Which process writes: "api", "dispatcher". */
  name: string;
  /** Least severe level that is written. Default "info". */
  level?: "debug" | "info" | "warn" | "error" | "fatal" | "silent";
  /** Default "json". */
  format?: "json" | "pretty";
  /** Where lines go. Default standard output, written synchronously, so that the last line before an exit is there. */
  stream?: DestinationStream;
}

/** Bytes of lines that wait for room on a full disk. */
const MAX_WAITING = 1024 * 1024;

/** What cannot be written, as on a full disk, is tried again with the next line; beyond a mebibyte lines are lost. That ends nobody: what is logged is less than what is done. */
function standardOutput(): DestinationStream {
  const target = destination({ fd: 1, sync: true, maxLength: MAX_WAITING });
  target.on("error", () => {});
  return target;
}

/**
 * Makes the logger of a process. Lines are safe to show in a terminal and to keep: control characters are escaped,
 * passwords and credentials are replaced by `[redacted]`, and no field is longer than 4,096 characters.
 *
 * @example
 * const logger = createLogger({ name: "api" })
 * logger.info({ event: "api.listening", url }, "The API listens")
 */
export function createLogger({
  name,
  level = "info",
  format = "json",
  stream,
}: LoggerOptions): Logger {
  const target = stream ?? standardOutput();
  const write = (line: string) => {
    const safe = safeLine(line);
    target.write(format === "pretty" ? prettyLine(safe) : safe);
  };
  return pino(
    {
      level,
      base: { name },
      messageKey: "message",
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
      hooks: {
        // Where nobody gives a message pino takes that of the error, with all that is in it.
        logMethod([fields, message], method) {
          const { err } = fields as unknown as LogFields;
          method.call(this, fields, message ?? (err === undefined ? undefined : messageOf(err)));
        },
      },
    },
    { write },
  );
}

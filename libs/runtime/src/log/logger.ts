import { pino, stdTimeFunctions, type DestinationStream } from "pino";
import { describeError, messageOf } from "./describe-error.ts";
import { prettyLine } from "./pretty-line.ts";
import { Repeats } from "./repeats.ts";
import { safeLine } from "./safe-line.ts";
import { StandardOutput } from "./standard-output.ts";

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
  /** Where lines go. Default standard output; see {@link StandardOutput}. */
  stream?: DestinationStream;
}

const standardOutput = new StandardOutput();

/** Lines that were lost so far, since nobody took them. */
export const lostLines = (): number => standardOutput.lost;

// Later than all that writes a last line.
const tellTheRest = () => {
  Repeats.tellAll();
  standardOutput.end();
};

/** From pino's levels. What is fatal comes once. */
const FATAL = 60;

/**
 * Makes the logger of a process. Lines are safe to show in a terminal and to keep: control characters are escaped,
 * passwords and credentials are replaced by `[redacted]`, and no field is longer than 4,096 characters. Lines with an
 * `err` are bounded; see {@link Repeats}.
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
  const target = stream ?? standardOutput;
  const repeats = new Repeats();
  const write = (line: string) => {
    const safe = safeLine(line);
    target.write(format === "pretty" ? prettyLine(safe) : safe);
  };
  const logger: Logger = pino(
    {
      level,
      base: { name },
      messageKey: "message",
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
      hooks: {
        // Where nobody gives a message pino takes that of the error, with all that is in it.
        logMethod([given, text], method, severity) {
          const fields = given as unknown as LogFields;
          if (fields.err === undefined) return method.call(this, given, text);
          const message = text ?? messageOf(fields.err);
          const tell = (repeated: number) => method.call(this, { ...fields, repeated }, message);
          if (severity >= FATAL || repeats.admits(fields, message, tell))
            method.call(this, given, message);
        },
      },
    },
    { write },
  );
  if (!stream) {
    standardOutput.onRoom = (lines) =>
      logger.warn(
        { event: "log.lines-lost", lines },
        `${lines} lines of this log were lost: those before them were not taken in time`,
      );
    if (!process.listeners("exit").includes(tellTheRest)) process.on("exit", tellTheRest);
  }
  return logger;
}

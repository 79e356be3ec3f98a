import { ConfigError, readConfig, type Config, type ConfigSchema } from "./config/read-config.ts";
import { armFailpoints } from "./failpoint.ts";
import type { processConfig, ProcessConfig } from "./config/processes.ts";
import { messageOf } from "./log/describe-error.ts";
import { createLogger, type Logger } from "./log/logger.ts";

export interface ProcessOptions<S extends ConfigSchema> {
  /** Name in the log: "api". */
  name: string;
  /** The environment this process reads; see `apiConfig` and its siblings. */
  config: S & typeof processConfig;
  /** Variables that do not go together: a sentence for each, for which it does not start either. */
  check?: (config: Config<S>) => string[];
  /**
   * Brings the process into service and resolves with how to take it out again: finish what was accepted, accept no
   * more, let go of connections. `signal` fires when the process is told to stop while it still starts.
   */
  start: (context: ProcessContext<S>) => Promise<Stop>;
}

export interface ProcessContext<S extends ConfigSchema> {
  config: Config<S>;
  logger: Logger;
  signal: AbortSignal;
}

export type Stop = () => Promise<void>;

/** EX_CONFIG of sysexits.h: starting it again as it is will not help. */
const exitBadConfig = 78;

/** Someone mistyped an argument; 2, as our other commands have it. */
const exitBadArgument = 2;

/** An argument: only say whether the environment fits. */
const CHECK = "--check";

/** Under npm one Ctrl-C comes twice: from the terminal and from npm, which passes it on. */
const sameKeyPressMs = 500;

/**
 * Runs one server process from its environment to its exit code.
 *
 *     starting ──▶ serving ──SIGTERM or SIGINT──▶ draining ──▶ exit 0
 *
 * - A variable is missing or wrong: one line on standard error, exit 78. With the argument `--check` that is all it
 *   looks at: else exit 0.
 * - An argument that there is not: what there is, exit 2. A mistyped `--check` must not start what it should look at.
 * - The start fails, or nobody caught an error: one fatal log line, exit 1; 78 where the start throws a ConfigError.
 * - Draining takes longer than SHUTDOWN_TIMEOUT: exit 1.
 * - A second signal while draining (half a second later, for SIGINT): exit 128 + its number, at once.
 *
 * @example
 * runProcess({ name: "api", config: apiConfig, start: startApi })
 */
export function runProcess<S extends ConfigSchema>(options: ProcessOptions<S>): void {
  const args = process.argv.slice(2);
  if (args.length > 0 && !mayGoOn(options.name, args)) return;
  const config = configOrExit(options);
  if (args.includes(CHECK)) return;
  const { logLevel: level, logFormat: format, shutdownTimeout } = config;
  const logger = createLogger({ name: options.name, level, format });
  const stopping = new AbortController();

  const fail = (event: string, message: string, err: unknown): never => {
    try {
      logger.fatal({ event, err }, message);
    } finally {
      process.exit(err instanceof ConfigError ? exitBadConfig : 1);
    }
  };
  process.on("uncaughtException", (err) => fail("process.crashed", "uncaught error", err));
  process.on("unhandledRejection", (err) => fail("process.crashed", "unhandled rejection", err));

  // One tick later, when the signal handlers are in place.
  const context = { config, logger, signal: stopping.signal };
  const started = Promise.resolve(context).then(options.start);
  started.catch((err: unknown) => {
    if (!stopping.signal.aborted)
      fail("process.start-failed", `cannot start: ${messageOf(err)}`, err);
  });

  let stoppedAt = 0;
  const onSignal = (name: NodeJS.Signals, number: number) => {
    if (name === "SIGINT" && Date.now() - stoppedAt < sameKeyPressMs) return;
    if (stopping.signal.aborted) process.exit(128 + number);
    stoppedAt = Date.now();
    logger.info({ event: "process.stopping", signal: name }, "finishing what was accepted");
    stopping.abort(new Error(`stopped by ${name}`));
    setTimeout(() => {
      logger.error({ event: "process.stop-timed-out", shutdownTimeout }, "gave up finishing");
      process.exit(1);
    }, shutdownTimeout * 1_000).unref();
    void drain(started).then(
      () => {
        logger.info({ event: "process.stopped" }, "stopped");
        process.exit(0);
      },
      (err: unknown) => fail("process.stop-failed", "could not stop in order", err),
    );
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}

/** Answers `--help`, and what is none of the arguments. */
function mayGoOn(name: string, args: readonly string[]): boolean {
  const usage = `${name}: starts, and runs until SIGTERM

  ${CHECK}    say whether the environment fits, and start nothing
  --help     print this

It reads its configuration from the environment: docs/configuration.md.
`;
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(usage);
    return false;
  }
  const unknown = args.find((argument) => argument !== CHECK);
  if (unknown === undefined) return true;
  process.stderr.write(`${name}: there is no ${unknown}\n\n${usage}`);
  process.exitCode = exitBadArgument;
  return false;
}

function configOrExit<S extends ConfigSchema>({
  name,
  config,
  check,
}: ProcessOptions<S>): Config<S> & ProcessConfig {
  try {
    armFailpoints(process.env);
    const read = readConfig<S & typeof processConfig>(config, process.env);
    const problems = check?.(read) ?? [];
    if (problems.length > 0) throw new ConfigError(problems);
    return read;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${name}: ${error.message}\n`);
    process.exit(exitBadConfig);
  }
}

/** A start that was interrupted has let go of what it held itself; only a finished one is left to stop. */
async function drain(started: Promise<Stop>): Promise<void> {
  const stop = await started.catch(() => undefined);
  await stop?.();
}

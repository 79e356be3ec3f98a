import { PROJECT_FOLDER } from "../folders.ts";
import { startChild, type Child } from "./child.ts";

const READY_TIMEOUT_MS = 60_000;
const GRACE_MS = 15_000;

export interface ProcessOptions {
  /** For messages: "api". */
  name: string;
  /** The program, a JavaScript file for node. */
  script: string;
  args?: readonly string[];
  /** On top of our own environment; undefined takes a variable away. */
  env?: NodeJS.ProcessEnv;
  /** Gives the address once a line of its output says that it is ready. Default: `readyLine()`. */
  ready?: (line: string) => string | undefined;
  /** Default 60,000. */
  readyTimeoutMs?: number;
  /** How long it may take to end once it was asked to. Default 15,000. */
  graceMs?: number;
  /** Every line of its output, stdout and stderr. */
  onLine?: (line: string) => void;
  /** Gives up waiting for the start, and stops what has been started. */
  signal?: AbortSignal;
}

/** A node process that said that it is ready. */
export interface ServiceProcess extends Child {
  /** Where it listens, as its ready line says. */
  readonly url: string;
}

/**
 * Starts a node program and waits until it says that it is ready. `stop()` sends SIGTERM, and SIGKILL where it has not
 * gone after `graceMs`.
 *
 * @throws StackError `child_failed`, with its last lines in `output`, when it ends or stays silent instead.
 * @example
 * await using worker = await startProcess({ name: "worker", script: "dist/main.js", env: { PORT: "0" } });
 */
export async function startProcess(options: ProcessOptions): Promise<ServiceProcess> {
  const child = await startChild({
    name: options.name,
    command: [process.execPath, options.script, ...(options.args ?? [])],
    env: { ...process.env, ...options.env },
    cwd: PROJECT_FOLDER,
    stopSignal: "SIGTERM",
    lastSignal: "SIGKILL",
    graceMs: options.graceMs ?? GRACE_MS,
    onLine: options.onLine,
  });
  try {
    const ready = options.ready ?? readyLine("api.listening", "dispatcher.ready");
    const url = await child.waitFor(
      ready,
      options.readyTimeoutMs ?? READY_TIMEOUT_MS,
      options.signal,
    );
    return Object.assign(child, { url });
  } catch (error) {
    await child.stop();
    throw error;
  }
}

/** Finds the `url` of the first JSON log line that has one of these events. */
export function readyLine(...events: string[]): (line: string) => string | undefined {
  return (line) => {
    const { event, url } = parseLogLine(line) ?? {};
    return typeof event === "string" && events.includes(event) && typeof url === "string"
      ? url
      : undefined;
  };
}

/** The fields of a JSON log line; undefined for any other line. */
export function parseLogLine(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

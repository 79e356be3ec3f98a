import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { PROJECT_FOLDER } from "../folders.ts";
import { StackError } from "../stack-error.ts";
import { readyLine, startProcess, type ServiceProcess } from "./service.ts";

/** Seconds, as docs/configuration.md has it. */
const SHUTDOWN_TIMEOUT_DEFAULT = 25;

/** Settings of one of Sluice's processes. */
export interface ServiceOptions {
  databaseUrl: string;
  /** Default 0: any free port. */
  port?: number;
  /** More environment: LOG_LEVEL, HOST… */
  env?: NodeJS.ProcessEnv;
  onLine?: (line: string) => void;
  signal?: AbortSignal;
}

/** Settings of a process that shares its work with others over NATS. */
export interface BusServiceOptions extends ServiceOptions {
  natsUrl: string;
}

/** Starts `apps/api`. */
export function startApi(options: BusServiceOptions): Promise<ServiceProcess> {
  const env = { PORT: String(options.port ?? 0), NATS_URL: options.natsUrl };
  return startApp({ name: "API", folder: "api", event: "api.listening", env }, options);
}

/** Starts `apps/dispatcher`; `port` and `url` are those of its health and metrics. */
export function startDispatcher(options: BusServiceOptions): Promise<ServiceProcess> {
  const env = { HEALTH_PORT: String(options.port ?? 0), NATS_URL: options.natsUrl };
  return startApp(
    { name: "Dispatcher", folder: "dispatcher", event: "dispatcher.ready", env },
    options,
  );
}

/** Starts `apps/standalone`: API and dispatcher in one process, without NATS. */
export function startStandalone(options: ServiceOptions): Promise<ServiceProcess> {
  const env = { PORT: String(options.port ?? 0) };
  return startApp({ name: "Sluice", folder: "standalone", event: "api.listening", env }, options);
}

interface App {
  name: string;
  /** Below apps/. */
  folder: string;
  /** Of the log line that says that it is ready. */
  event: string;
  env: NodeJS.ProcessEnv;
}

/**
 * Asks API and dispatcher whether they would start with this environment, where nothing has been started yet.
 *
 * @throws StackError `invalid_settings`, with a line of each that would not in `output`.
 */
export async function checkSettings(env: NodeJS.ProcessEnv): Promise<void> {
  // What is not given is started later, and its address known only then.
  const { DATABASE_URL = "", NATS_URL = "" } = env;
  const complete = {
    DATABASE_URL: DATABASE_URL || "postgres://127.0.0.1/sluice",
    NATS_URL: NATS_URL || "nats://127.0.0.1",
  };
  const all = { ...env, ...complete, ...readable(env) };
  const lines = await Promise.all(["api", "dispatcher"].map((app) => complaintOf(app, all)));
  const output = lines.filter((line) => line !== "");
  if (output.length === 0) return;
  throw new StackError("invalid_settings", "Nothing was started: the environment does not fit.", {
    hint: "docs/configuration.md tells of every variable.",
    output,
  });
}

/** What it says of its settings; nothing when they are right. */
async function complaintOf(app: string, env: NodeJS.ProcessEnv): Promise<string> {
  const check = promisify(execFile)(process.execPath, [scriptOf(app), "--check"], { env });
  return check.then(
    () => "",
    ({ stderr }: { stderr: string }) => stderr.trimEnd(),
  );
}

function scriptOf(app: string): string {
  return join(PROJECT_FOLDER, "apps", app, "dist", "main.js");
}

/** Its ready line is awaited: an information, in JSON. */
function readable(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { LOG_LEVEL: env["LOG_LEVEL"] === "debug" ? "debug" : "info", LOG_FORMAT: "json" };
}

/**
 * What a process may take to end, in ms: it finishes what is under way within SHUTDOWN_TIMEOUT, and ends then by
 * itself. One whose event loop hangs does not.
 */
export function graceOf({ SHUTDOWN_TIMEOUT = "" }: NodeJS.ProcessEnv): number {
  return (Number(SHUTDOWN_TIMEOUT) || SHUTDOWN_TIMEOUT_DEFAULT) * 1_000 + 5_000;
}

function startApp(app: App, options: ServiceOptions): Promise<ServiceProcess> {
  const given = { ...process.env, ...options.env };
  return startProcess({
    name: app.name,
    script: scriptOf(app.folder),
    env: {
      DATABASE_URL: options.databaseUrl,
      ...app.env,
      ...options.env,
      ...readable(given),
    },
    graceMs: graceOf(given),
    ready: readyLine(app.event),
    onLine: options.onLine,
    signal: options.signal,
  });
}

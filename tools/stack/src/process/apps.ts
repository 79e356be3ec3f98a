import { join } from "node:path";
import { PROJECT_FOLDER } from "../folders.ts";
import { readyLine, startProcess, type ServiceProcess } from "./service.ts";

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

function startApp(app: App, options: ServiceOptions): Promise<ServiceProcess> {
  return startProcess({
    name: app.name,
    script: join(PROJECT_FOLDER, "apps", app.folder, "dist", "main.js"),
    env: {
      DATABASE_URL: options.databaseUrl,
      ...app.env,
      ...options.env,
      // Its ready line is awaited: an information, in JSON.
      LOG_LEVEL: (options.env ?? process.env)["LOG_LEVEL"] === "debug" ? "debug" : "info",
      LOG_FORMAT: "json",
    },
    ready: readyLine(app.event),
    onLine: options.onLine,
    signal: options.signal,
  });
}

import { join } from "node:path";
import type { NatsBinary } from "./nats/find.ts";
import { locateNats, type NatsSearch } from "./nats/locate.ts";
import { startNats, type NatsServer } from "./nats/nats.ts";
import { checkDatabase } from "./postgres/database.ts";
import { startPostgres, type PostgresServer } from "./postgres/postgres.ts";
import type { PostgresSettings } from "./postgres/settings.ts";
import { Cleanup } from "./process/cleanup.ts";
import { announced, SILENT, type Progress } from "./progress.ts";

export interface StackOptions {
  /** Where Postgres and NATS keep their data; see `dataFolder` and `temporaryFolder`. */
  dataDir: string;
  /** Use this Postgres (15 or newer) instead of starting one. */
  databaseUrl?: string | undefined;
  /** Use this NATS instead of starting one. */
  natsUrl?: string | undefined;
  /** Default true; false for throwaway test data: see `PostgresOptions.durable`. */
  durable?: boolean;
  /** Postgres settings on top of the defaults. */
  settings?: PostgresSettings;
  /** Told of every step. Default: nobody. */
  progress?: Progress;
  /** Every line that a server logs. */
  onLine?: (server: "postgres" | "nats", line: string) => void;
  /** Gives up starting, and stops what has been started. */
  signal?: AbortSignal;
}

/** Postgres and NATS, each started here or given; disposing it stops what was started here, NATS first. */
export interface Stack extends AsyncDisposable {
  readonly databaseUrl: string;
  /** Undefined where no NATS can be had: only `startStandalone` works then. */
  readonly natsUrl: string | undefined;
  /** Undefined when `databaseUrl` was given. */
  readonly postgres: PostgresServer | undefined;
  /** Undefined when `natsUrl` was given, or none can be had. */
  readonly nats: NatsServer | undefined;
  stop(): Promise<void>;
}

/**
 * Brings up what Sluice stands on.
 *
 * NATS is `natsUrl`, else a nats-server on PATH, else the one of the system's package manager, else the official
 * release, else none. Postgres goes first: its lock on the data folder keeps a second stack off both.
 *
 * @throws StackError whatever `startPostgres` and `startNats` throw; nothing is left running then.
 * @example
 * await using folder = await temporaryFolder();
 * await using stack = await startStack({ dataDir: folder.path, durable: false });
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const cleanup = new Cleanup();
  try {
    // What may take long, finding a nats-server, happens while Postgres starts.
    const search = options.natsUrl ? undefined : locateNats(options.signal);
    const database = await startDatabase(options, cleanup);
    const nats = search && (await startBus(options, search, cleanup));
    const stop = () => cleanup.run();
    return {
      ...database,
      natsUrl: options.natsUrl ?? nats?.url,
      nats,
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

async function startDatabase(
  { databaseUrl, progress = SILENT, onLine, ...options }: StackOptions,
  cleanup: Cleanup,
): Promise<Pick<Stack, "databaseUrl" | "postgres">> {
  if (databaseUrl) {
    await progress.step(
      "Postgres",
      () => checkDatabase(databaseUrl),
      (version) => `Postgres ${version} of DATABASE_URL`,
    );
    return { databaseUrl, postgres: undefined };
  }
  const postgres = await progress.step(
    "Postgres",
    () => startPostgres({ ...options, onLine: onLine && ((line) => onLine("postgres", line)) }),
    ({ version, port, folder }) => `Postgres ${version} on 127.0.0.1:${port}, data in ${folder}`,
  );
  cleanup.use(announced(progress, postgres));
  return { databaseUrl: postgres.url, postgres };
}

async function startBus(
  { dataDir, progress = SILENT, onLine, signal }: StackOptions,
  search: Promise<NatsSearch>,
  cleanup: Cleanup,
): Promise<NatsServer | undefined> {
  const start = (binary: NatsBinary) =>
    startNats({
      storeDir: join(dataDir, "nats"),
      binary,
      signal,
      onLine: onLine && ((line) => onLine("nats", line)),
    });
  const started = await progress.step(
    "NATS",
    async () => {
      const { found, reasons = [] } = await search;
      signal?.throwIfAborted();
      return { reasons, nats: found && (await start(found)) };
    },
    ({ nats, reasons }) =>
      nats
        ? `NATS ${nats.version} (${nats.origin}) on 127.0.0.1:${nats.port}`
        : `No nats-server, so one process with a bus of its own (${reasons.join("; ")})`,
  );
  return started.nats && cleanup.use(announced(progress, started.nats)).child;
}

import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Child } from "../process/child.ts";
import { freePort } from "../process/free-port.ts";
import { rememberedPort, rememberPort } from "../process/remembered-port.ts";
import { readPid, runsOn } from "../process/running.ts";
import { StackError } from "../stack-error.ts";
import { openCluster, startPostgresProgram, SUPERUSER, type Cluster } from "./cluster.ts";
import { prepareDatabase } from "./database.ts";
import { homesOf, preparePostgresHome, type PostgresHome } from "./home.ts";
import {
  asArguments,
  DEVELOPMENT_SETTINGS,
  FIXED_SETTINGS,
  VOLATILE_SETTINGS,
  type PostgresSettings,
} from "./settings.ts";

// Replaying 2 GB of log on a slow disk takes its time.
const READY_TIMEOUT_MS = 120_000;
const ATTEMPTS = 40;

export interface PostgresOptions {
  /** Its data goes into the folder `postgres` in here (root in a private clone: see `PostgresServer.folder`). */
  dataDir: string;
  /** Default: the port of the last start while it is free, else any free one. */
  port?: number;
  /** Default true: what is committed survives a crash of the machine. False for throwaway test data only. */
  durable?: boolean;
  /** Server settings on top of the defaults. */
  settings?: PostgresSettings;
  /** Every line of the server's log. */
  onLine?: (line: string) => void;
  /** Gives up starting, and stops what has been started. */
  signal?: AbortSignal;
}

/** A Postgres 18 that was started here; `stop()` is a fast shutdown. */
export interface PostgresServer extends Child {
  /** For Sluice: database `sluice` as its owner, a role that may create databases and nothing more. */
  readonly url: string;
  /** The same database as the superuser. */
  readonly adminUrl: string;
  readonly port: number;
  readonly version: string;
  /** Where its data lives. */
  readonly folder: string;
}

/**
 * Starts Postgres on 127.0.0.1 with the data in `dataDir`, which is initialised when it is new and recovered when the
 * last server on it was killed.
 *
 * @throws StackError `already_running` when a server still runs on this data, `port_taken` for a `port` that is in use,
 *   `postgres_missing`, `data_folder_denied`, `child_failed`.
 * @example
 * await using postgres = await startPostgres({ dataDir: ".sluice/data" });
 * const sql = connect(postgres.url);
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const home = await preparePostgresHome(resolve(options.dataDir));
  const staleOwner = await refuseSecondServer(join(home.folder, "cluster"));
  const cluster = await openCluster(home, {
    durable: options.durable ?? true,
    signal: options.signal,
  });
  const { child, port } = await launch({ home, cluster, options, staleOwner });
  const url = (user: string) => `postgres://${user}:${cluster.password}@127.0.0.1:${port}/sluice`;
  try {
    const version = await prepareDatabase(url(SUPERUSER), cluster.password);
    return Object.assign(child, {
      url: url("sluice"),
      adminUrl: url(SUPERUSER),
      port,
      version,
      folder: home.folder,
    });
  } catch (error) {
    await child.stop();
    throw error;
  }
}

/** The pid of the Postgres that runs on the data of `dataDir`, if any. */
export async function runningPostgres(dataDir: string): Promise<number | undefined> {
  for (const home of homesOf(dataDir)) {
    const cluster = join(home, "cluster");
    const pid = await readPid(join(cluster, "postmaster.pid"));
    if (pid && (await runsOn(pid, cluster))) return pid;
  }
  return undefined;
}

/** Fails when a server runs on the cluster; else gives the pid that a dead one left behind. */
async function refuseSecondServer(cluster: string): Promise<number | undefined> {
  const pid = await readPid(join(cluster, "postmaster.pid"));
  if (!pid || !(await runsOn(pid, cluster))) return pid;
  throw new StackError("already_running", `A Postgres (pid ${pid}) already runs on ${cluster}.`, {
    hint:
      "Stop the Sluice that started it (Ctrl-C there). " +
      `If that one was killed and left Postgres behind: kill -INT ${pid}, then start again.`,
  });
}

interface Launch {
  home: PostgresHome;
  cluster: Cluster;
  options: PostgresOptions;
  staleOwner: number | undefined;
}

async function launch(plan: Launch): Promise<{ child: Child; port: number }> {
  const portFile = join(plan.home.folder, "port");
  let port = plan.options.port ?? (await rememberedPort(portFile));
  for (let attempt = 1; ; attempt += 1) {
    const child = await startServer(plan, port);
    try {
      await child.waitFor(isReady, READY_TIMEOUT_MS, plan.options.signal);
      await rememberPort(portFile, port);
      return { child, port };
    } catch (error) {
      await child.stop();
      const why = reasonOf(child.tail());
      if (why === "other" || attempt === ATTEMPTS) throw error;
      if (why === "port" && plan.options.port) throw portTaken(port, child);
      if (why === "port") port = await freePort();
      // Sessions of a postmaster that was killed notice within moments, and only then is its memory free.
      else await delay(250);
    }
  }
}

const isReady = (line: string) => line.includes("ready to accept connections") || undefined;

function startServer({ home, cluster, options, staleOwner }: Launch, port: number): Promise<Child> {
  const settings = {
    ...(options.durable === false ? VOLATILE_SETTINGS : DEVELOPMENT_SETTINGS),
    ...options.settings,
    ...FIXED_SETTINGS,
    port,
  };
  return startPostgresProgram(home, "postgres", ["-D", cluster.folder, ...asArguments(settings)], {
    // Postgres refuses to start while the pid in a leftover postmaster.pid is alive, even if that number has gone to
    // another program by now (we looked). Named as its grandparent, the pid is passed over, while the check of the
    // dead server's shared memory, which deleting the file would switch off, stays.
    ...(staleOwner && { env: { PG_GRANDPARENT_PID: String(staleOwner) } }),
    onLine: options.onLine,
  });
}

function reasonOf(output: string[]): "port" | "memory" | "other" {
  const text = output.join("\n");
  if (text.includes("could not create any TCP/IP sockets")) return "port";
  return text.includes("pre-existing shared memory block") ? "memory" : "other";
}

function portTaken(port: number, child: Child): StackError {
  return new StackError(
    "port_taken",
    `Postgres cannot listen on 127.0.0.1:${port}: the port is taken.`,
    {
      output: child.tail().slice(-20),
    },
  );
}

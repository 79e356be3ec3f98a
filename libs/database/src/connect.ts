import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import postgres from "postgres";

import { SESSION_SETTINGS } from "./session-settings.ts";
import { SharedConnection } from "./shared-connection.ts";
import { promptSockets, startupPadding, type Addresses } from "./prompt-socket.ts";
import * as schema from "./schema/index.ts";
import { mendResults } from "./whole-results.ts";

export type Sql = postgres.Sql;
/** The connection that a transaction runs on. */
export type Transaction = postgres.TransactionSql;
/** A statement that sends itself when it is waited for. */
export type Query<Row extends postgres.MaybeRow> = postgres.PendingQuery<Row[]>;
/** A part of a statement. */
export type Fragment = postgres.PendingQuery<postgres.Row[]>;
export type ControlPlane = PostgresJsDatabase<typeof schema>;

/** The ways into Postgres; see {@link connectDatabase}. */
export interface Database extends AsyncDisposable {
  /** The hot path: reviewed statements whose plans are fixed. Arrays go in as literals, ids come out as strings. */
  readonly sql: Sql;
  /**
   * One more of the hot path, for statements that share a commit: it gives up a lock after 50 ms and a statement after
   * a second, since others wait for it.
   */
  readonly shared: SharedConnection;
  /** The control plane: topics, queues, subscriptions through Drizzle, on connections of its own. */
  readonly control: ControlPlane;
  /**
   * The same for what hot calls look up: topics, queues and keys that are not remembered. On connections of their own,
   * since two changes that wait for a lock have those of the control plane.
   */
  readonly lookUps: ControlPlane;
  /** Clean-up: statements that may read whole tables, free to be planned as such, one at a time. */
  readonly maintenance: Sql;
  /** For whoever asks whether Postgres answers: here that does not wait for what all the others do. */
  readonly probe: Sql;
  /** As given. */
  readonly traceHours: number;
  /**
   * Calls back when a connection is lost: the next one may lead to another server, to which not all that was committed
   * has come. What is remembered by ids may be wrong there, since it gives the same ids again. Gives how to stop.
   */
  onLoss(listener: () => void): () => void;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** `postgres://user:password@host:port/database` */
  url: string;
  /** Connections for the hot path. Default 8; shared one, control plane, look-ups, clean-up and probe add up to 7. */
  pool?: number;
  /** Shown in `pg_stat_activity`. */
  name?: string;
  /**
   * For a process that tells nobody outside what it commits: its commits are flushed a moment later. Default false.
   *
   * A crash of Postgres may take back its last ones, as if the process had died before them. Who acts on such a commit
   * and commits something himself has flushed both: the log is flushed in its order. What the process remembers of a
   * commit that was not flushed may never have happened.
   */
  lazy?: boolean;
  /**
   * How long is kept what became of messages; 0, the default, records nothing. Statements know it by a setting of their
   * connection.
   */
  traceHours?: number;
  /** A connection whose answer takes longer is given up, in ms. Default: what a statement may take, and 20 s more. */
  silenceMs?: number | undefined;
}

/** What a statement may take, in seconds. */
const STATEMENT_TIMEOUT = 20;
/** Of the shared connection, in ms; a deadlock takes Postgres a second to find. */
const LOCK_TIMEOUT = 50;
/** What a statement on it may take, in seconds: others wait for it. */
const SHARED_STATEMENT_TIMEOUT = 1;
/** How long it may be silent, in ms: claims of all queues wait for it. */
const SHARED_SILENCE = 5_000;
/**
 * How long it waits in a transaction for a process that was stopped in the middle of one: others may wait for its
 * locks.
 */
const IDLE_IN_TRANSACTION_TIMEOUT = "5s";
/** After so much silence, in ms, the next probe asks on another connection. */
const PROBE_SILENCE = 2_000;
const MAINTENANCE_TIMEOUT = 120;
/** How long it may be silent, in ms: the removal of payloads gives itself ten minutes. */
const MAINTENANCE_SILENCE = 620_000;
/**
 * How long the server waits for the clean-up's next statement: a process that stands still holds the lock by which one
 * at a time cleans up. When it goes on it does so on a connection without that lock, which is only there to spare work.
 */
const MAINTENANCE_IDLE_TIMEOUT = "1min";
/**
 * When a client was not heard of for half a minute the server asks, and after a minute ends the session of one that has
 * vanished; by default it asks after two hours. Over a Unix socket, where nobody vanishes, these are ignored.
 */
const KEEPALIVES = {
  tcp_keepalives_idle: "30",
  tcp_keepalives_interval: "10",
  tcp_keepalives_count: "3",
};
/**
 * Most statements of a round on the shared connection that are sent together; the driver's default, which the others
 * have, is 100.
 */
const SHARED_PIPELINE = 10_000;
/** How long the answer to a statement that was ended may be on its way, in seconds. */
const GRACE = 20;

/**
 * Opens the connection pools of one process. Connects at the first query, and again after a loss.
 *
 * Hot statements are small, run thousands of times a second and must never be planned by a statistic that is minutes
 * old on a table that turns over in seconds: generic plans save planning each call, and without sequential and bitmap
 * scans, hash and merge joins there is one plan left for each: nested loops over its index. (A bitmap scan gives up the
 * order of the index: on a backlog that no ANALYZE has seen, a claim of ten would sort the whole queue.)
 */
export function connectDatabase({
  url,
  pool = 8,
  name = "sluice",
  lazy = false,
  traceHours = 0,
  silenceMs,
}: DatabaseOptions): Database {
  const writing = {
    // An acknowledgement means committed and flushed, whatever the server's default says.
    synchronous_commit: lazy ? "off" : "on",
    "sluice.recording": traceHours > 0 ? "on" : "off",
  };
  const listeners = new Set<() => void>();
  const lost = () => {
    for (const listener of listeners) listener();
  };
  const open = (max: number, settings: Settings) =>
    openPool(url, max, settings, { silenceMs, onclose: lost });
  const hotSettings = {
    ...writing,
    application_name: name,
    plan_cache_mode: "force_generic_plan",
    enable_seqscan: "off",
    enable_hashjoin: "off",
    enable_mergejoin: "off",
    enable_bitmapscan: "off",
    statement_timeout: STATEMENT_TIMEOUT,
  };
  const hot = open(pool, hotSettings);
  const sharedSettings = {
    ...hotSettings,
    lock_timeout: LOCK_TIMEOUT,
    statement_timeout: SHARED_STATEMENT_TIMEOUT,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT,
  };
  const shared = new SharedConnection((onclose) =>
    openPool(url, 1, sharedSettings, {
      silenceMs: silenceMs ?? SHARED_SILENCE,
      onclose: () => {
        lost();
        onclose();
      },
      max_pipeline: SHARED_PIPELINE,
    }),
  );
  // Drizzle replaces the parsers of the client it is given, so it gets one of its own.
  const controlSettings = { ...writing, statement_timeout: STATEMENT_TIMEOUT };
  const controlClient = open(2, { ...controlSettings, application_name: `${name}-control` });
  const lookUpClient = open(2, { ...controlSettings, application_name: `${name}-look-ups` });
  const maintenanceSettings = {
    ...writing,
    application_name: `${name}-maintenance`,
    statement_timeout: MAINTENANCE_TIMEOUT,
    idle_session_timeout: MAINTENANCE_IDLE_TIMEOUT,
    // For joins over millions of rows, and it is one connection.
    work_mem: "64MB",
  };
  const maintenance = openPool(url, 1, maintenanceSettings, {
    silenceMs: silenceMs ?? MAINTENANCE_SILENCE,
  });
  const probeSettings = { ...controlSettings, application_name: `${name}-probe` };
  const probe = openPool(url, 1, probeSettings, { silenceMs: silenceMs ?? PROBE_SILENCE });

  // Whoever closes has waited for its statements. The driver, though, waits in vain for a connection that it once lost
  // and opened anew, so it gets a second and not five.
  const close = async () => {
    const clients = [hot, controlClient, lookUpClient, maintenance, probe];
    await Promise.all([shared.close(), ...clients.map((client) => client.end({ timeout: 1 }))]);
  };
  return {
    sql: hot,
    shared,
    control: drizzle(controlClient, { schema }),
    lookUps: drizzle(lookUpClient, { schema }),
    maintenance,
    probe,
    traceHours,
    onLoss: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface Settings {
  /** In seconds. */
  statement_timeout: number;
  [name: string]: string | number;
}

function openPool(
  url: string,
  max: number,
  { statement_timeout: timeout, ...settings }: Settings,
  more: { silenceMs: number | undefined; onclose?: () => void; max_pipeline?: number },
): Sql {
  const { silenceMs = (timeout + GRACE) * 1_000, ...ofDriver } = more;
  const makeSocket = promptSockets(silenceMs);
  const options = {
    max,
    ...ofDriver,
    // One round trip less on every new connection; array parameters are passed as literals instead.
    fetch_types: false,
    connect_timeout: 5,
    idle_timeout: 0,
    // By default the driver ends a connection after half an hour. There is nothing to be had from it: plans are fixed,
    // and what a session keeps is bounded.
    max_lifetime: null,
    // Seconds between attempts to connect: the driver's own go up to 20, and we want to be back soon after Postgres is.
    backoff: (attempt: number) => Math.min(1, 0.05 * 2 ** attempt),
    onnotice: () => undefined,
    // Not among the types of the driver, which has it nevertheless.
    socket: () => makeSocket(addresses),
    connection: {
      jit: "off",
      idle_in_transaction_session_timeout: "30s",
      ...SESSION_SETTINGS,
      // A scan begins with the first row, also beside others: the record of messages knows its oldest one by that.
      synchronize_seqscans: "off",
      ...KEEPALIVES,
      ...settings,
      statement_timeout: `${timeout}s`,
      ...startupPadding,
    } as Record<string, string>,
  };
  const sql = postgres(url, options);
  mendResults(sql);
  // The driver puts the query of the URL over them.
  Object.assign(sql.options.connection, options.connection);
  const { host, port, path } = sql.options;
  const addresses: Addresses = { host: [...host], port: [...port], path };
  // While none of several hosts can be reached the driver (3.4.9) tries one after the other, without a pause and for
  // ever, and tells nobody.
  host.splice(1);
  return sql;
}

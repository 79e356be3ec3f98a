import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { drizzle } from "drizzle-orm/postgres-js";
import { readMigrationFiles } from "drizzle-orm/migrator";
import { migrate as runMigrations } from "drizzle-orm/postgres-js/migrator";
import postgres from "postgres";

import { isLockNotAvailable } from "./failure.ts";
import { SESSION_SETTINGS } from "./session-settings.ts";

const migrationsFolder = fileURLToPath(new URL("../migrations", import.meta.url));

/** Beside Drizzle's own, which goes by time alone: another program's migrations there would have ours left out. */
const MIGRATIONS = { migrationsSchema: "drizzle", migrationsTable: "sluice_migrations" };
/** Any number that no other program is likely to use for an advisory lock of this database. */
const MIGRATION_LOCK = 7_583_402_001;
/** How long to wait for it, in ms, before whoever starts is told. */
const LOCK_TIMEOUT = 10_000;
/**
 * How long a migration waits for a table, in ms. Whoever wants to write to that waits behind it, so it gives up soon,
 * and whoever starts tries again; an autovacuum gives way after a second.
 */
const TABLE_LOCK_TIMEOUT = 2_000;
/**
 * For how many times as long nobody tries again: of four processes that started during a backup one was always at it,
 * and whoever wrote to the table waited for three quarters of the time.
 */
const LEFT_ALONE = 3;
/** For each host of the URL, in seconds. */
const CONNECT_TIMEOUT = 5;
const OLDEST_POSTGRES = 150_000;

/** The server is not one this program can work with; the message says what to change. */
export class UnsuitableDatabaseError extends Error {
  override readonly name = "UnsuitableDatabaseError";
}

export interface MigrateOptions {
  /** How long to wait for another one that migrates, in ms, before that is an error. Default 10 s. */
  lockTimeout?: number;
  /** How long to wait for a table that somebody has locked, in ms, before that is an error. Default 2 s. */
  tableLockTimeout?: number;
  /** How long to wait for each host of the URL, in seconds. Default 5. */
  connectTimeout?: number;
}

/**
 * Brings the database at `url` to the newest schema. Any number of processes may start at once: one does the work
 * while the others try again. Where nothing is to be done it only reads, so that the role needs no right to create.
 *
 * @throws {UnsuitableDatabaseError} when the server is older than Postgres 15, or the encoding is not UTF8
 */
export async function migrate(
  url: string,
  {
    lockTimeout = LOCK_TIMEOUT,
    tableLockTimeout = TABLE_LOCK_TIMEOUT,
    connectTimeout = CONNECT_TIMEOUT,
  }: MigrateOptions = {},
): Promise<void> {
  const sql = postgres(url, {
    max: 1,
    connect_timeout: connectTimeout,
    onnotice: () => undefined,
    // As the connections have it that come after: a pooler that refuses it does so before it keeps a session that has
    // the lock.
    connection: { jit: "off" },
  });
  // The driver puts the query of the URL over what it is given.
  Object.assign(sql.options.connection, SESSION_SETTINGS);
  try {
    await orNoAnswer(checkServer(sql), 2_000 * connectTimeout * sql.options.host.length);
    if (await isUpToDate(sql)) return;
    await lock(sql, lockTimeout);
    await takeOver(sql);
    await sql.unsafe(`SET lock_timeout = ${tableLockTimeout}`);
    try {
      await runMigrations(drizzle(sql), { migrationsFolder, ...MIGRATIONS });
    } catch (error) {
      throw isLockNotAvailable(error) ? await leaveAlone(sql, tableLockTimeout) : error;
    }
  } finally {
    // Ending the session frees the lock.
    await sql.end({ timeout: 1 });
  }
}

/** Of several hosts that all refuse, the driver asks one after the other without end. */
async function orNoAnswer(answer: Promise<void>, timeout: number): Promise<void> {
  const waiting = new AbortController();
  const tooLate = sleep(timeout, undefined, { signal: waiting.signal }).then(() => {
    throw new Error("no host of DATABASE_URL answers");
  });
  try {
    await Promise.race([answer, tooLate]);
  } finally {
    waiting.abort();
    tooLate.catch(() => undefined);
  }
}

async function lock(sql: postgres.Sql, timeout: number): Promise<void> {
  await sql.unsafe(`SET lock_timeout = ${timeout}`);
  const isHeld = await sql`SELECT pg_advisory_lock(${MIGRATION_LOCK}::bigint)`.then(
    () => false,
    (error: unknown) => {
      if (!isLockNotAvailable(error)) throw error;
      return true;
    },
  );
  // Without a cause, which would be told in its place.
  if (isHeld) {
    throw new Error(
      `the advisory lock ${MIGRATION_LOCK} is held: by another process that migrates, or by a session that a connection pooler keeps`,
    );
  }
  await sql`SET lock_timeout = 0`;
}

/** What to tell after a try in vain. Until then this one has the lock, so that no other one tries. */
async function leaveAlone(sql: postgres.Sql, tableLockTimeout: number): Promise<Error> {
  const message = await whoHasLocks(sql);
  await sleep(LEFT_ALONE * tableLockTimeout);
  // Without a cause, which would be told in its place.
  return new Error(message);
}

/**
 * Who may have kept a migration from a table: of those who have locked one of ours, whoever began first. Of other roles
 * and prepared transactions that may not be shown; they come before those of ours, whose statements are short, and an
 * autovacuum, which is of no role, last: it gives way.
 */
async function whoHasLocks(sql: postgres.Sql): Promise<string> {
  const [holder] = await sql<{ who: string; table: string; seconds: number | null }[]>`
    SELECT coalesce('session ' || l.pid || coalesce(' (' || nullif(a.application_name, '') || ')', ''), 'a prepared transaction') AS who,
           c.relname AS table, extract(epoch FROM clock_timestamp() - a.xact_start)::int AS seconds
    FROM pg_locks l
    JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
    LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.pid IS DISTINCT FROM pg_backend_pid()
    ORDER BY a.pid IS NOT NULL AND a.usesysid IS NULL, a.xact_start NULLS FIRST LIMIT 1`;
  if (!holder) return "a table that is to be changed was locked by others";
  const { who, table, seconds } = holder;
  const since = seconds === null ? "" : `, and began ${seconds} s ago`;
  return `a table that is to be changed was locked: ${who} has a lock on ${table}${since}; wait for it, or end it`;
}

async function isUpToDate(sql: postgres.Sql): Promise<boolean> {
  if (!(await exists(sql, "drizzle.sluice_migrations"))) return false;
  const rows = await sql<{ hash: string }[]>`SELECT hash FROM drizzle.sluice_migrations`;
  const done = new Set(rows.map(({ hash }) => hash));
  return readMigrationFiles({ migrationsFolder }).every(({ hash }) => done.has(hash));
}

/** An installation from before this table has its migrations on record in Drizzle's own. */
async function takeOver(sql: postgres.Sql): Promise<void> {
  const old = "drizzle.__drizzle_migrations";
  if (!(await exists(sql, old)) || (await exists(sql, "drizzle.sluice_migrations"))) return;
  const ours = readMigrationFiles({ migrationsFolder }).map(({ hash }) => hash);
  await sql.begin(async (tx) => {
    await tx`CREATE TABLE drizzle.sluice_migrations (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint)`;
    await tx`
      INSERT INTO drizzle.sluice_migrations (hash, created_at)
      SELECT hash, created_at FROM drizzle.__drizzle_migrations WHERE hash = ANY(${ours}) ORDER BY id`;
  });
}

async function exists(sql: postgres.Sql, table: string): Promise<boolean> {
  const rows = await sql`SELECT WHERE to_regclass(${table}) IS NOT NULL`;
  return rows.length > 0;
}

async function checkServer(sql: postgres.Sql): Promise<void> {
  const [server] = await sql<{ version: number; text: string; encoding: string }[]>`
    SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS text,
           current_setting('server_encoding') AS encoding`;
  if (!server) return;
  if (server.version < OLDEST_POSTGRES) {
    throw new UnsuitableDatabaseError(
      `DATABASE_URL points at Postgres ${server.text}; Sluice needs Postgres 15 or newer`,
    );
  }
  if (server.encoding !== "UTF8") {
    throw new UnsuitableDatabaseError(
      `the database of DATABASE_URL has the encoding ${server.encoding}; create it with ENCODING 'UTF8'`,
    );
  }
}

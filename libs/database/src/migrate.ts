import { fileURLToPath } from "node:url";

import { drizzle } from "drizzle-orm/postgres-js";
import { readMigrationFiles } from "drizzle-orm/migrator";
import { migrate as runMigrations } from "drizzle-orm/postgres-js/migrator";
import postgres from "postgres";

import { isLockNotAvailable } from "./failure.ts";

const migrationsFolder = fileURLToPath(new URL("../migrations", import.meta.url));

/** Any number that no other program is likely to use for an advisory lock of this database. */
const MIGRATION_LOCK = 7_583_402_001;
/** How long to wait for it, in ms, before whoever starts is told. */
const LOCK_TIMEOUT = 10_000;
const OLDEST_POSTGRES = 150_000;

/** The server is not one this program can work with; the message says what to change. */
export class UnsuitableDatabaseError extends Error {
  override readonly name = "UnsuitableDatabaseError";
}

/**
 * Brings the database at `url` to the newest schema. Any number of processes may start at once: one does the work
 * while the others try again.
 *
 * @param lockTimeout - How long to wait for another one, in ms, before that is an error. Default 10 s.
 * @throws {UnsuitableDatabaseError} when the server is older than Postgres 15, the encoding is not UTF8, or another program has its migrations there
 */
export async function migrate(url: string, lockTimeout = LOCK_TIMEOUT): Promise<void> {
  const sql = postgres(url, {
    max: 1,
    connect_timeout: 5,
    onnotice: () => undefined,
    // As the connections have it that come after: a pooler that refuses it does so before it keeps a session that has the lock.
    connection: { jit: "off" },
  });
  try {
    await checkServer(sql);
    await lock(sql, lockTimeout);
    await runMigrations(drizzle(sql), { migrationsFolder });
    await checkMigrations(sql);
  } finally {
    // Ending the session frees the lock.
    await sql.end({ timeout: 5 });
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

/** Drizzle goes by the time of the newest one in its table, which other programs may have theirs in: it leaves out what is older. */
async function checkMigrations(sql: postgres.Sql): Promise<void> {
  const rows = await sql<{ hash: string }[]>`SELECT hash FROM drizzle.__drizzle_migrations`;
  const done = new Set(rows.map(({ hash }) => hash));
  if (readMigrationFiles({ migrationsFolder }).every(({ hash }) => done.has(hash))) return;
  throw new UnsuitableDatabaseError(
    "another program has migrations of Drizzle in the database of DATABASE_URL, so those of Sluice were left out; give Sluice a database of its own",
  );
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

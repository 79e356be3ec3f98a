import { fileURLToPath } from "node:url";

import { drizzle } from "drizzle-orm/postgres-js";
import { migrate as runMigrations } from "drizzle-orm/postgres-js/migrator";
import postgres from "postgres";

const migrationsFolder = fileURLToPath(new URL("../migrations", import.meta.url));

/** Any number that no other program is likely to use for an advisory lock of this database. */
const MIGRATION_LOCK = 7_583_402_001;
const OLDEST_POSTGRES = 150_000;

/** The server is not one this program can work with; the message says what to change. */
export class UnsuitableDatabaseError extends Error {
  override readonly name = "UnsuitableDatabaseError";
}

/**
 * Brings the database at `url` to the newest schema. Any number of processes may start at once: one does the work
 * while the others wait for it.
 *
 * @throws {UnsuitableDatabaseError} when the server is older than Postgres 15 or does not flush commits to disk.
 */
export async function migrate(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, connect_timeout: 5, onnotice: () => undefined });
  try {
    await checkServer(sql);
    await sql`SELECT pg_advisory_lock(${MIGRATION_LOCK}::bigint)`;
    await runMigrations(drizzle(sql), { migrationsFolder });
  } finally {
    // Ending the session frees the lock.
    await sql.end({ timeout: 5 });
  }
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

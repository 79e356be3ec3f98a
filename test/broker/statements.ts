import { connectDatabase, type Database } from "@sluice/database";
import postgres from "postgres";

/** A statement of the hot path as it went to the server. */
export interface Statement {
  text: string;
  parameters: unknown[];
}

/** The connections of a process, with a record of what its hot path asks. */
export interface TracedDatabase extends Database {
  readonly statements: Statement[];
}

export async function connectTraced(url: string, pool = 4): Promise<TracedDatabase> {
  const database = connectDatabase({ url, pool: 1, name: "test-traced", traceHours: 12 });
  const statements: Statement[] = [];
  const sql = postgres(url, {
    max: pool,
    fetch_types: false,
    debug: (_connection, text, parameters) => void statements.push({ text, parameters }),
    // Settings of our own are not listed among those of a connection.
    connection: { ...(await settingsOf(database)), "sluice.recording": "on" },
  });
  const close = async () => {
    await Promise.all([database.close(), sql.end({ timeout: 5 })]);
  };
  return { ...database, sql, statements, close, [Symbol.asyncDispose]: close };
}

/** What a connection of the hot path sets for itself. */
async function settingsOf(database: Database): Promise<Record<string, string>> {
  const rows = await database.sql<{ name: string; setting: string }[]>`
    SELECT name, setting FROM pg_settings WHERE source = 'client' AND name <> 'client_encoding'`;
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}

/** Claims of one queue among statements. */
export function claimsOf(statements: readonly Statement[], queueId: string): number {
  return statements.filter(
    ({ text, parameters }) => text.includes("lease_ids") && parameters.includes(queueId),
  ).length;
}

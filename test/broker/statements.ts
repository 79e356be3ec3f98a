import { connectDatabase, type Database, type Sql } from "@sluice/database";
import postgres from "postgres";

/** A statement of the hot path as it went to the server. */
export interface Statement {
  text: string;
  parameters: unknown[];
}

/** The connections of a process, with a record of what is asked on them. */
export interface TracedDatabase extends Database {
  /** On those of the hot path. */
  readonly statements: Statement[];
  /** On that of the clean-up. */
  readonly upkeep: Statement[];
}

export async function connectTraced(url: string, pool = 4): Promise<TracedDatabase> {
  const database = connectDatabase({ url, pool: 1, name: "test-traced", traceHours: 12 });
  const statements: Statement[] = [];
  const upkeep: Statement[] = [];
  const traced = async (like: Sql, max: number, into: Statement[]) =>
    postgres(url, {
      max,
      fetch_types: false,
      debug: (_connection, text, parameters) => void into.push({ text, parameters }),
      // Settings of our own are not listed among those of a connection.
      connection: { ...(await settingsOf(like)), "sluice.recording": "on" },
    });
  const sql = await traced(database.sql, pool, statements);
  const impatient = await traced(database.impatient, 1, statements);
  const maintenance = await traced(database.maintenance, 1, upkeep);
  const close = async () => {
    const clients = [sql, impatient, maintenance];
    await Promise.all([database.close(), ...clients.map((client) => client.end({ timeout: 5 }))]);
  };
  return {
    ...database,
    sql,
    impatient,
    maintenance,
    statements,
    upkeep,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** What a connection sets for itself. */
async function settingsOf(sql: Sql): Promise<Record<string, string>> {
  const rows = await sql<{ name: string; setting: string }[]>`
    SELECT name, setting FROM pg_settings WHERE source = 'client' AND name <> 'client_encoding'`;
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}

/** Claims of one queue among statements; of standard queues one statement claims for several. */
export function claimsOf(statements: readonly Statement[], queueId: string): number {
  return statements.filter(({ text, parameters }) => {
    if (!text.includes("lease_ids")) return false;
    const queueIds = /^\{([\d,]*)\}$/.exec(String(parameters[0]))?.[1]?.split(",");
    return queueIds?.includes(queueId) ?? parameters.includes(queueId);
  }).length;
}

/** Whether it is the look of a waiting room at what will soon be visible, in however many queues: it has no end. */
export function isLookAhead({ text, parameters }: Statement): boolean {
  return text.includes("waited_for") && parameters[2] === "{}";
}

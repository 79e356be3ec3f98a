import {
  connectDatabase,
  SharedConnection,
  statement,
  type Database,
  type Sql,
} from "@sluice/database";
import postgres from "postgres";

import type { Client } from "./client.ts";
import { ACCOUNT } from "./content.ts";
import { until } from "./interleaving.ts";

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

/** @param others - Settings that those of the hot path have instead of their own. */
export async function connectTraced(
  url: string,
  pool = 4,
  others: Settings = {},
): Promise<TracedDatabase> {
  const database = connectDatabase({ url, pool: 1, name: "test-traced", traceHours: 12 });
  const statements: Statement[] = [];
  const upkeep: Statement[] = [];
  const traced = (settings: Settings, max: number, into: Statement[], onclose = () => {}) =>
    postgres(url, {
      // A VACUUM that meets the one of the server says so, and leaves the table.
      onnotice: () => undefined,
      max,
      onclose,
      fetch_types: false,
      debug: (_connection, text, parameters) => void into.push({ text, parameters }),
      // Settings of our own are not listed among those of a connection.
      connection: { ...settings, "sluice.recording": "on" },
    });
  const sql = traced({ ...(await askSettings(database.sql).send()), ...others }, pool, statements);
  const asked = await database.shared.inOneCommit((on) => [askSettings(on)]);
  if ("error" in asked) throw asked.error;
  const [sharedSettings] = asked.results;
  const shared = new SharedConnection((onclose) =>
    traced({ ...sharedSettings, ...others }, 1, statements, onclose),
  );
  const maintenance = traced(await askSettings(database.maintenance).send(), 1, upkeep);
  const close = async () => {
    const clients = [sql, maintenance].map((client) => client.end({ timeout: 5 }));
    await Promise.all([database.close(), shared.close(), ...clients]);
  };
  return {
    ...database,
    sql,
    shared,
    maintenance,
    statements,
    upkeep,
    close,
    [Symbol.asyncDispose]: close,
  };
}

type Settings = Record<string, string>;

/** Asks what a connection sets for itself. */
function askSettings(sql: Sql) {
  const query = sql<{ name: string; setting: string }[]>`
    SELECT name, setting FROM pg_settings WHERE source = 'client' AND name <> 'client_encoding'`;
  return statement(query, (rows) =>
    Object.fromEntries(rows.map(({ name, setting }) => [name, setting])),
  );
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

/** A receive waits at this queue until the waiting room of its process has looked there; that look. */
export async function lookFor(
  { statements }: TracedDatabase,
  client: Client,
  queue: string,
): Promise<Statement> {
  const { id } = await client.engine.queues.get(ACCOUNT, queue);
  const find = () =>
    statements.find(
      (statement) =>
        isLookAhead(statement) && /\d+/g.exec(String(statement.parameters[0]))?.includes(id),
    );
  const seen = new AbortController();
  const waiting = client.receive(queue, { wait: 20, signal: seen.signal });
  await until(() => Promise.resolve(find() !== undefined));
  seen.abort();
  await waiting;
  return find()!;
}

import {
  classifyFailure,
  connectDatabase,
  migrate,
  unsafeSettings,
  UnsuitableDatabaseError,
  type Database,
} from "@sluice/database";
import { untilAvailable, type Logger } from "@sluice/runtime";

/** What every process knows when it starts. */
export interface Start<Config> {
  config: Config;
  logger: Logger;
  signal: AbortSignal;
}

interface Storage {
  databaseUrl: string;
  databasePool: number;
  traceHours: number;
}

/**
 * Waits for Postgres, brings the schema up to date and connects, and warns of settings that are not durable; the name
 * is shown in `pg_stat_activity`. Lazily for a process that answers nobody: see DatabaseOptions.
 */
export async function openDatabase(
  { config, logger, signal }: Start<Storage>,
  name: string,
  { lazy = false } = {},
): Promise<Database> {
  await untilAvailable("Postgres", () => migrate(config.databaseUrl), {
    logger,
    signal,
    isFinal: (error) => error instanceof UnsuitableDatabaseError,
    remedyOf,
  });
  const { databaseUrl: url, databasePool: pool, traceHours } = config;
  const database = connectDatabase({ url, pool, name, lazy, traceHours });
  // Where it is away again all else finds that out as well, and waits for it.
  const settings = await unsafeSettings(database.sql).catch(() => []);
  if (settings.length > 0)
    logger.warn(
      { event: "database.unsafe", settings },
      `Postgres has ${settings.join(" and ")} off: a power cut may take what it has told to be stored, or the whole database`,
    );
  return database;
}

const CREDENTIALS = "look at the user and the password in DATABASE_URL, and at pg_hba.conf";

/** By SQLSTATE. What is wrong may be put right while it waits: the database is made, the role is given its rights. */
const remedies: Readonly<Record<string, string>> = {
  "28000": CREDENTIALS,
  "28P01": CREDENTIALS,
  "3D000": "the database in DATABASE_URL has to be created",
  "3F000": "the search path of its role names no schema that is there",
  "42501": "its role needs the right to create schemas in the database, and tables in the schema",
};

function remedyOf(error: unknown): string | undefined {
  if (classifyFailure(error) !== "refused") return undefined;
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === "string" ? remedies[code] : undefined;
}

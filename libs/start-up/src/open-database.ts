import {
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
 * Waits for Postgres, brings the schema up to date and connects, and warns of settings that are not durable; the name is shown in `pg_stat_activity`. Lazily for a
 * process that answers nobody: see DatabaseOptions.
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

import { connectDatabase, migrate, UnsuitableDatabaseError, type Database } from "@sluice/database";
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
 * Waits for Postgres, brings the schema up to date and connects; the name is shown in `pg_stat_activity`. Lazily for a
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
  return connectDatabase({ url, pool, name, lazy, traceHours });
}

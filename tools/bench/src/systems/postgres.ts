import { startPostgres, type Cleanup } from "@sluice/stack";

/** A Postgres that a system has its data in. */
export interface Postgres {
  url: string;
  /** As the superuser; undefined when it was not started here. */
  adminUrl: string | undefined;
}

/**
 * Every system that lives in Postgres gets the same: its own cluster, flushed at each commit, with the settings of
 * `npm start`.
 */
export async function ownPostgres(
  cleanup: Cleanup,
  folder: string,
): Promise<Postgres & { version: string }> {
  const server = cleanup.use(await startPostgres({ dataDir: folder, durable: true }));
  return { url: server.url, adminUrl: server.adminUrl, version: server.version };
}

import { join } from "node:path";
import type {} from "vitest";
import type { TestProject } from "vitest/node";
import { startNats, type NatsServer } from "./nats/nats.ts";
import { startPostgres, type PostgresServer } from "./postgres/postgres.ts";
import { Cleanup } from "./process/cleanup.ts";
import { temporaryFolder } from "./temporary-folder.ts";

export { createTestDatabase, type TestDatabase } from "./postgres/database.ts";
export { installClock } from "./postgres/test-clock.ts";
export { temporaryFolder, type TemporaryFolder } from "./temporary-folder.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** A Postgres of this test run; its role may create databases: see `createTestDatabase`. */
    databaseUrl: string;
    /** A nats-server of this test run, with JetStream. */
    natsUrl: string;
  }
}

/**
 * Vitest's globalSetup: a Postgres and a nats-server for this run alone, on free ports, with their data in a temporary
 * folder; all of it is gone afterwards.
 * @example
 * await using database = await createTestDatabase(inject("databaseUrl"));
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const cleanup = new Cleanup();
  try {
    const folder = cleanup.use(await temporaryFolder());
    const [postgres, nats] = await cleanup.useAll<[PostgresServer, NatsServer]>([
      startPostgres({ dataDir: folder.path, durable: false, settings: { max_connections: 300 } }),
      startNats({ storeDir: join(folder.path, "nats") }),
    ]);
    project.provide("databaseUrl", postgres.url);
    project.provide("natsUrl", nats.url);
  } catch (error) {
    await cleanup.run();
    throw error;
  }
  return () => cleanup.run();
}

import { randomBytes } from "node:crypto";
import { createInProcessBus } from "@sluice/bus";
import { connectDatabase, migrate } from "@sluice/database";
import { startDispatcher } from "@sluice/engine";
import { messageMetrics, startApi } from "@sluice/http-api";
import { createLogger, createMetrics } from "@sluice/runtime";
import { createTestDatabase } from "@sluice/stack/testing";
import { inject } from "vitest";

export interface Sluice extends AsyncDisposable {
  readonly url: string;
}

/** A whole Sluice on a database of its own: the real API and dispatcher, in this process. */
export async function startSluice(): Promise<Sluice> {
  const testDatabase = await createTestDatabase(inject("databaseUrl"));
  await migrate(testDatabase.url);
  const database = connectDatabase({
    url: testDatabase.url,
    pool: 8,
    name: "sdk-test",
    traceHours: 12,
  });
  const bus = createInProcessBus();
  const logger = createLogger({ name: "sdk-test", level: "silent" });
  const metrics = createMetrics();
  const observer = messageMetrics(metrics, logger);
  const dispatcher = await startDispatcher({ database, bus, observer, logger });
  const account = "000000000000";
  const settings = { host: "127.0.0.1", port: 0, directQueues: 16 };
  const api = await startApi({ database, bus, observer, metrics, logger, account, ...settings });
  return {
    url: api.url,
    async [Symbol.asyncDispose]() {
      await api.stop();
      await dispatcher.stop();
      await bus.close();
      await database.close();
      await testDatabase[Symbol.asyncDispose]();
    },
  };
}

/** A name that no other test has. */
export function unique(base: string): string {
  return `${base}-${randomBytes(6).toString("hex")}`;
}

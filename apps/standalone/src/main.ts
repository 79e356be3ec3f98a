import { createInProcessBus } from "@sluice/bus";
import { connectDatabase, migrate, UnsuitableDatabaseError } from "@sluice/database";
import { startDispatcher } from "@sluice/engine";
import { messageMetrics, startApi } from "@sluice/http-api";
import { createMetrics, runProcess, standaloneConfig, untilAvailable } from "@sluice/runtime";

/** API and dispatcher in one process, for quick local use: no NATS, and just one such process on a database. */
runProcess({
  name: "standalone",
  config: standaloneConfig,
  start: async ({ config, logger, signal }) => {
    await untilAvailable("Postgres", () => migrate(config.databaseUrl), {
      logger,
      signal,
      isFinal: (error) => error instanceof UnsuitableDatabaseError,
    });
    const bus = createInProcessBus();
    const database = connectDatabase({
      url: config.databaseUrl,
      pool: config.databasePool,
      name: "sluice",
    });
    const metrics = createMetrics();
    const observer = messageMetrics(metrics, logger);
    const dispatcher = await startDispatcher({
      database,
      bus,
      observer,
      logger,
      watchedQueues: config.queueMetrics,
    });
    const { account, host, port } = config;
    const guards = { deletedQueueName: config.deletedQueueNameGuard, purge: config.purgeGuard };
    const api = await startApi({
      database,
      bus,
      observer,
      metrics,
      logger,
      account,
      host,
      port,
      guards,
    });
    logger.info({ event: "api.listening", url: api.url }, "the API is ready");
    return async () => {
      await api.stop();
      await dispatcher.stop();
      await bus.close();
      await database.close();
    };
  },
});

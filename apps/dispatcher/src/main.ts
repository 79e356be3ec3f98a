import { connectNatsBus } from "@sluice/bus";
import { connectDatabase, migrate, UnsuitableDatabaseError } from "@sluice/database";
import { startDispatcher } from "@sluice/engine";
import { healthEndpoints, messageMetrics, serve } from "@sluice/http-api";
import { createMetrics, dispatcherConfig, runProcess, untilAvailable } from "@sluice/runtime";

/** The dispatcher process: fan-out, sweeper, clean-up. Any number may run side by side. */
runProcess({
  name: "dispatcher",
  config: dispatcherConfig,
  start: async ({ config, logger, signal }) => {
    await untilAvailable("Postgres", () => migrate(config.databaseUrl), {
      logger,
      signal,
      isFinal: (error) => error instanceof UnsuitableDatabaseError,
    });
    const bus = await untilAvailable(
      "NATS",
      () =>
        connectNatsBus({
          servers: config.natsServers,
          name: "sluice-dispatcher",
          logger,
          prefix: config.natsPrefix,
        }),
      { logger, signal },
    );
    const database = connectDatabase({
      url: config.databaseUrl,
      pool: config.databasePool,
      traceHours: config.traceHours,
      name: "sluice-dispatcher",
    });
    const metrics = createMetrics();
    const observer = messageMetrics(metrics, logger);
    let stopping = false;
    const dispatcher = await startDispatcher({
      database,
      bus,
      observer,
      logger,
      watchedQueues: config.queueMetrics,
    });
    const health = healthEndpoints({
      metrics,
      isStopping: () => stopping,
      checks: { postgres: () => database.sql`SELECT 1` },
    });
    const server = await serve({ fetch: health.fetch, host: config.host, port: config.healthPort });
    logger.info({ event: "dispatcher.ready", url: server.url }, "the dispatcher is ready");
    return async () => {
      stopping = true;
      await dispatcher.stop();
      await server.close();
      await bus.close();
      await database.close();
    };
  },
});

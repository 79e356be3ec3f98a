import { createInProcessBus } from "@sluice/bus";
import { awsProtocols } from "@sluice/aws-api";
import { connectDatabase, migrate, UnsuitableDatabaseError } from "@sluice/database";
import { AccessKeys, startDispatcher } from "@sluice/engine";
import { messageMetrics, startApi } from "@sluice/http-api";
import {
  authenticationProblems,
  createMetrics,
  runProcess,
  sealingKeyOf,
  standaloneConfig,
  untilAvailable,
} from "@sluice/runtime";

/** API and dispatcher in one process, for quick local use: no NATS, and just one such process on a database. */
runProcess({
  name: "standalone",
  config: standaloneConfig,
  check: authenticationProblems,
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
      traceHours: config.traceHours,
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
    const { account, host, port, region, publicUrl, signNotifications: signed } = config;
    const notifications = { region, publicUrl, signed };
    const guards = { deletedQueueName: config.deletedQueueNameGuard, purge: config.purgeGuard };
    const sealingKey = sealingKeyOf(config);
    const accessKeys = sealingKey && new AccessKeys(database.control, sealingKey);
    const api = await startApi({
      database,
      bus,
      observer,
      metrics,
      logger,
      account,
      notifications,
      host,
      port,
      guards,
      accessKeys,
      protocols: [awsProtocols({ region, accessKeys })],
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

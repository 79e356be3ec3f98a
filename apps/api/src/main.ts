import { connectNatsBus } from "@sluice/bus";
import { awsProtocols } from "@sluice/aws-api";
import { connectDatabase, migrate, UnsuitableDatabaseError } from "@sluice/database";
import { AccessKeys } from "@sluice/engine";
import { messageMetrics, startApi } from "@sluice/http-api";
import {
  apiConfig,
  authenticationProblems,
  createMetrics,
  runProcess,
  sealingKeyOf,
  untilAvailable,
} from "@sluice/runtime";

/** The API process: HTTP in front of Postgres, woken by NATS. Any number may run side by side. */
runProcess({
  name: "api",
  config: apiConfig,
  check: authenticationProblems,
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
          name: "sluice-api",
          logger,
          prefix: config.natsPrefix,
        }),
      { logger, signal },
    );
    const database = connectDatabase({
      url: config.databaseUrl,
      pool: config.databasePool,
      traceHours: config.traceHours,
      name: "sluice-api",
    });
    const metrics = createMetrics();
    const observer = messageMetrics(metrics, logger);
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
      await bus.close();
      await database.close();
    };
  },
});

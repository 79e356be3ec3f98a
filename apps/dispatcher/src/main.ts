import { checkWritable } from "@sluice/database";
import { healthEndpoints, messageMetrics, serve } from "@sluice/http-api";
import { createMetrics, dispatcherConfig, runProcess } from "@sluice/runtime";
import { joinNats, openDatabase, openDispatcher } from "@sluice/start-up";

/** The dispatcher process: fan-out, sweeper, clean-up. Any number may run side by side. */
runProcess({
  name: "dispatcher",
  config: dispatcherConfig,
  start: async (context) => {
    const { config, logger } = context;
    const database = await openDatabase(context, "sluice-dispatcher", {
      // Nobody is told of a fan-out; a receive of what it delivered flushes it, and without one it is done again.
      lazy: true,
    });
    const bus = await joinNats(context, "sluice-dispatcher");
    const metrics = createMetrics();
    const observer = messageMetrics(metrics, logger);
    let stopping = false;
    const dispatcher = await openDispatcher(config, { database, bus, observer, logger });
    const health = healthEndpoints({
      metrics,
      metricsToken: config.metricsToken,
      isStopping: () => stopping,
      checks: { postgres: () => checkWritable(database.probe) },
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

import { messageMetrics } from "@sluice/http-api";
import {
  apiConfig,
  authenticationProblems,
  createMetrics,
  runProcess,
  shutdownProblems,
} from "@sluice/runtime";
import { joinNats, openApi, openDatabase } from "@sluice/start-up";

/** The API process: HTTP in front of Postgres, woken by NATS. Any number may run side by side. */
runProcess({
  name: "api",
  config: apiConfig,
  check: (config) => [...authenticationProblems(config), ...shutdownProblems(config)],
  start: async (context) => {
    const { config, logger } = context;
    const database = await openDatabase(context, "sluice-api");
    const bus = await joinNats(context, "sluice-api");
    const metrics = createMetrics();
    const observer = messageMetrics(metrics, logger);
    const parts = { database, bus, observer, metrics, logger };
    const stopDelayMs = config.shutdownDelay * 1_000;
    const api = await openApi(config, { ...parts, stopDelayMs });
    return async () => {
      await api.stop();
      await bus.close();
      await database.close();
    };
  },
});

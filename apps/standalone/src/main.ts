import { createInProcessBus } from "@sluice/bus";
import { messageMetrics } from "@sluice/http-api";
import {
  authenticationProblems,
  createMetrics,
  runProcess,
  standaloneConfig,
} from "@sluice/runtime";
import { openApi, openDatabase, openDispatcher, warnOfOthers } from "@sluice/start-up";

/** API and dispatcher in one process, for quick local use: no NATS, and just one such process on a database. */
runProcess({
  name: "standalone",
  config: standaloneConfig,
  check: authenticationProblems,
  start: async (context) => {
    const { config, logger } = context;
    const database = await openDatabase(context, "sluice");
    await warnOfOthers(database.sql, logger);
    const bus = createInProcessBus();
    const metrics = createMetrics();
    const observer = messageMetrics(metrics, logger);
    const parts = { database, bus, observer, logger };
    const dispatcher = await openDispatcher(config, parts);
    const api = await openApi(config, { ...parts, metrics });
    return async () => {
      await api.stop();
      await dispatcher.stop();
      await bus.close();
      await database.close();
    };
  },
});

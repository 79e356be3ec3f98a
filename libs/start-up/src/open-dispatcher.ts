import { startDispatcher, watchOutbox, type RunningDispatcher } from "@sluice/engine";

/** Starts all that a dispatcher does, and tells the observer how long what it has to do has waited. */
export async function openDispatcher(
  { queueMetrics }: { queueMetrics: number },
  parts: Omit<Parameters<typeof startDispatcher>[0], "watchedQueues">,
): Promise<RunningDispatcher> {
  const { database, observer, logger } = parts;
  const dispatcher = await startDispatcher({ ...parts, watchedQueues: queueMetrics });
  const outbox = watchOutbox({ sql: database.sql, observer, logger });
  outbox.start();
  return {
    stop: async () => {
      await outbox.stop();
      await dispatcher.stop();
    },
  };
}

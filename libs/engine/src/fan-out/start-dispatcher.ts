import type { Bus } from "@sluice/bus";
import type { Database } from "@sluice/database";
import { createDuty, type Logger } from "@sluice/runtime";

import { cleanUp } from "../clean-up/clean-up.ts";
import type { Observer } from "../observer.ts";
import { carryOnRedrives } from "../redrive/carry-on-redrives.ts";
import { Dispatcher } from "./dispatcher.ts";

export interface RunningDispatcher {
  /** Finishes what is running; what was announced meanwhile stays in the outbox for others. */
  stop: () => Promise<void>;
}

/** How long a forgotten batch waits at most for the next look, in ms. */
const SWEEP_EVERY = 1_000;
/** How often a redrive that is bound by its rate goes on, in ms; also how long a new one waits for its start. */
const REDRIVE_EVERY = 1_000;
const CLEAN_UP_EVERY = 30_000;

/** Starts everything a dispatcher does: fan-out on announcement, the sweeper behind it, and the clean-up. */
export async function startDispatcher(options: {
  database: Database;
  bus: Bus;
  observer: Observer;
  logger: Logger;
}): Promise<RunningDispatcher> {
  const { database, bus, observer, logger } = options;
  const dispatcher = new Dispatcher({ sql: database.sql, bus, observer });
  const duties = [
    createDuty({
      name: "sweeper",
      intervalMs: SWEEP_EVERY,
      runOnce: (signal) => dispatcher.sweep(signal),
      logger,
    }),
    createDuty({
      name: "redrive",
      intervalMs: REDRIVE_EVERY,
      runOnce: async (signal) => await carryOnRedrives({ sql: database.sql, bus, signal }),
      logger,
    }),
    createDuty({
      name: "clean-up",
      intervalMs: CLEAN_UP_EVERY,
      runOnce: async () => {
        const removed = await cleanUp(database.maintenance);
        if (removed)
          logger.debug(
            { event: "clean-up.done", ...removed },
            "removed what nobody can reach any more",
          );
      },
      logger,
    }),
  ];
  await dispatcher.start();
  for (const duty of duties) duty.start();
  return {
    stop: async () => {
      await Promise.all([dispatcher.stop(), ...duties.map((duty) => duty.stop())]);
    },
  };
}

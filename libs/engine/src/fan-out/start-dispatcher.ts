import type { Bus } from "@sluice/bus";
import type { Database } from "@sluice/database";
import { createDuty, type DutyOptions, type Logger } from "@sluice/runtime";

import { CleanUpDuty } from "../clean-up/clean-up-duty.ts";
import { foldLedger } from "../ledger/fold-ledger.ts";
import { watchQueues } from "../ledger/watch-queues.ts";
import type { Observer } from "../observer.ts";
import { Pace } from "../pace.ts";
import { carryOnRedrives } from "../redrive/carry-on-redrives.ts";
import { ReplayDuty } from "../replay/replay-duty.ts";
import { rotateEvents } from "../trace/rotate-events.ts";
import { TableMaintenance } from "../vacuum/maintain-tables.ts";
import { within } from "../within.ts";
import { Dispatcher } from "./dispatcher.ts";

export interface RunningDispatcher {
  /**
   * Finishes what is running; what was announced meanwhile stays in the outbox for others. What is being cleaned up may
   * go on for as long as the database is open.
   */
  stop: () => Promise<void>;
}

/** How long a forgotten batch waits at most for the next look, in ms. */
const SWEEP_EVERY = 1_000;
/** How often a redrive that is bound by its rate goes on, in ms; also how long a new one waits for its start. */
const REDRIVE_EVERY = 1_000;
/** The same for replays. */
const REPLAY_EVERY = 1_000;
const CLEAN_UP_EVERY = 30_000;
/** The length of a slot of the ledger. */
const FOLD_EVERY = 5_000;
const ROTATE_EVERY = 60_000;
const MAINTAIN_EVERY = 15_000;
const COUNT_EVERY = 15_000;
const COUNT_SHARE = 0.05;
/**
 * How long whoever stops waits for what is being cleaned up, in ms: a statement of that may have minutes to go, and is
 * made again by whoever is next.
 */
const CLEAN_UP_PATIENCE = 2_000;

/** Starts everything a dispatcher does: fan-out on announcement, the sweeper behind it, and the clean-up. */
export async function startDispatcher(options: {
  database: Database;
  bus: Bus;
  observer: Observer;
  logger: Logger;
  /** Most queues whose counts are told to the observer again and again; with more of them, none are. Default 0. */
  watchedQueues?: number | undefined;
}): Promise<RunningDispatcher> {
  const { database, bus, observer, logger, watchedQueues = 0 } = options;
  const { sql } = database;
  const cleaning = new CleanUpDuty({ sql: database.maintenance, observer, logger });
  const counting = new Pace(0, { share: COUNT_SHARE });
  const tables = new TableMaintenance({ sql: database.maintenance, observer, logger });
  const dispatcher = new Dispatcher({ sql, bus, observer });
  const replays = new ReplayDuty({ sql, bus, observer });
  const countQueues = async () => {
    if (watchedQueues === 0 || !counting.isDue) return;
    await counting.run(() => watchQueues({ sql, observer }, watchedQueues));
  };
  const rows: readonly [name: string, everyMs: number, runOnce: DutyOptions["runOnce"]][] = [
    ["sweeper", SWEEP_EVERY, (signal) => dispatcher.sweep(signal)],
    ["ordered sweeper", SWEEP_EVERY, () => dispatcher.sweepOrdered()],
    // By itself: one that takes too long would hold up the others.
    ["retry sweeper", SWEEP_EVERY, () => dispatcher.retry()],
    ["redrive", REDRIVE_EVERY, (signal) => carryOnRedrives({ sql, bus, observer, signal })],
    ["replay", REPLAY_EVERY, () => replays.runOnce()],
    ["ledger", FOLD_EVERY, () => foldLedger(sql)],
    ["trace", ROTATE_EVERY, () => rotateEvents(sql, database.traceHours)],
    ["queue metrics", COUNT_EVERY, countQueues],
  ];
  const upkeepRows: typeof rows = [
    ["clean-up", CLEAN_UP_EVERY, (signal) => cleaning.runOnce(signal)],
    ["maintenance", MAINTAIN_EVERY, (signal) => tables.runOnce(signal)],
  ];
  const dutiesOf = (of: typeof rows) =>
    of.map(([name, intervalMs, runOnce]) => createDuty({ name, intervalMs, runOnce, logger }));
  const duties = dutiesOf(rows);
  const upkeep = dutiesOf(upkeepRows);
  const stopWatching = database.onLoss(() => {
    dispatcher.forget();
    replays.forget();
  });
  await dispatcher.start();
  for (const duty of [...duties, ...upkeep]) {
    duty.start(() => {
      observer.dutyFailed(duty.name);
    });
  }
  return {
    stop: async () => {
      stopWatching();
      const cleanedUp = Promise.all(upkeep.map((duty) => duty.stop()));
      await Promise.all([dispatcher.stop(), replays.stop(), ...duties.map((duty) => duty.stop())]);
      await within(CLEAN_UP_PATIENCE, cleanedUp);
    },
  };
}

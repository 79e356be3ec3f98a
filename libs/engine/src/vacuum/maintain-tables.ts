import type { Sql } from "@sluice/database";
import type { Logger } from "@sluice/runtime";

import type { Observer } from "../observer.ts";
import { Pace } from "../pace.ts";
import { findHorizonHolder, hasHiddenSessions, type HorizonHolder } from "./horizon.ts";
import { IndexRebuilder } from "./rebuild-indexes.ts";
import { Vacuum } from "./vacuum-tables.ts";
import { HorizonWatch } from "./watch-horizon.ts";

const MAINTENANCE_LOCK = 7_583_402_003;
/** Seconds: a statement that builds an index beside the old one would wait for a transaction this old. */
const LONG_HELD = 10;

/** Keeps tables and indexes as small as what is in them, and tells who keeps it from that. One dispatcher at a time. */
export class TableMaintenance {
  readonly #sql: Sql;
  readonly #logger: Logger;
  readonly #vacuum: Vacuum;
  readonly #indexes: IndexRebuilder;
  readonly #watch: HorizonWatch;
  readonly #pace = new Pace(0, { share: 0.2 });

  /** @param options - `smallIndex`: see {@link IndexRebuilder}. */
  constructor(options: { sql: Sql; observer: Observer; logger: Logger; smallIndex?: number }) {
    const { sql, observer, logger, smallIndex } = options;
    this.#sql = sql;
    this.#logger = logger;
    this.#vacuum = new Vacuum({ sql, logger });
    this.#indexes = new IndexRebuilder({ sql, logger, smallIndex });
    this.#watch = new HorizonWatch({ observer, logger });
  }

  async runOnce(signal?: AbortSignal): Promise<void> {
    const sql = this.#sql;
    const holder = await this.#lookAtHorizon();
    if (!this.#pace.isDue) return;
    const [lock] = await sql<
      { mine: boolean }[]
    >`SELECT pg_try_advisory_lock(${MAINTENANCE_LOCK}::bigint) AS mine`;
    if (!lock?.mine) return;
    try {
      await this.#pace.run(async () => {
        const vacuumed = await this.#vacuum.runOnce(signal);
        if (signal?.aborted) return;
        const horizonIsHeld = (holder?.seconds ?? 0) > LONG_HELD;
        const rebuilt = await this.#indexes.runOnce({ horizonIsHeld });
        if (vacuumed.length + rebuilt.length > 0)
          this.#logger.debug(
            { event: "maintenance.done", vacuumed, rebuilt },
            "vacuumed tables and rebuilt indexes",
          );
      });
    } finally {
      await sql`SELECT pg_advisory_unlock(${MAINTENANCE_LOCK}::bigint)`;
    }
  }
  async #lookAtHorizon(): Promise<HorizonHolder | undefined> {
    try {
      const holder = await findHorizonHolder(this.#sql);
      this.#watch.saw(holder, await hasHiddenSessions(this.#sql));
      return holder;
    } catch (error) {
      this.#watch.sawNothing();
      throw error;
    }
  }
}

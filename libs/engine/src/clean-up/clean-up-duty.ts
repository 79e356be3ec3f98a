import type { Sql } from "@sluice/database";
import type { Logger } from "@sluice/runtime";

import type { Observer } from "../observer.ts";
import { Pace } from "../pace.ts";
import { findHorizonHolder, StandingHorizon } from "../vacuum/horizon.ts";
import { cleanUp, cleanUpChunks, type CleanUpResult } from "./clean-up.ts";

/** Most of its time that a clean-up may spend on what takes reading whole tables. */
const THOROUGH_SHARE = 0.04;

/**
 * Cleans up again and again: mostly what an index finds, and thoroughly as often as a share of the time allows.
 *
 * Payloads are left where they are while a transaction keeps what was removed last from going: the disk gets nothing
 * back, and each of their pages would be written once more, with what vacuums in vain add to it. In ten minutes with a
 * held snapshot, the minutes in which payloads were removed had 64 to 89 % of the throughput of the first one, the
 * others 94 to 108 %.
 */
export class CleanUpDuty {
  readonly #sql: Sql;
  readonly #observer: Observer;
  readonly #logger: Logger;
  readonly #thorough: Pace;
  readonly #chunks = cleanUpChunks();
  readonly #horizon = new StandingHorizon();

  constructor(options: { sql: Sql; observer: Observer; logger: Logger; thoroughShare?: number }) {
    const { sql, observer, logger, thoroughShare: share = THOROUGH_SHARE } = options;
    this.#sql = sql;
    this.#observer = observer;
    this.#logger = logger;
    this.#thorough = new Pace(0, { share });
  }

  async runOnce(signal?: AbortSignal): Promise<void> {
    const holder = await findHorizonHolder(this.#sql);
    const payloads = !this.#horizon.stands("batches", holder);
    const options = {
      payloads,
      expired: (messages: number) => {
        this.#observer.expired(messages);
      },
      chunks: this.#chunks,
      ...(signal && { signal }),
    };
    const run = (thorough: boolean) => cleanUp(this.#sql, { thorough, ...options });
    const removed = await (this.#thorough.isDue
      ? this.#thorough.run(() => run(true), removalMs)
      : run(false));
    if (!removed) return;
    if (removed.payloads > 0) this.#horizon.note("batches", holder);
    this.#logger.debug(
      { event: "clean-up.done", ...removed },
      "removed what nobody can reach any more",
    );
  }
}

/** How long the removal itself takes, about: the share is meant for looking. 0.1 ms a row, measured. */
function removalMs(removed: CleanUpResult | undefined): number {
  return removed ? (removed.expiredSlices + removed.payloads) / 10 : 0;
}

import type { Logger } from "@sluice/runtime";

import type { Observer } from "../observer.ts";
import type { HorizonHolder } from "./horizon.ts";

/** Seconds: longer than any statement of ours, short of what a queue feels. */
const LONG = 60;
/** How often the same holder is named again, ms. */
const REPEATED_AFTER = 600_000;

/** Reports how long something has held the xmin horizon, and says who it is when that is long. */
export class HorizonWatch {
  readonly #observer: Pick<Observer, "horizonHeld">;
  readonly #logger: Logger;
  #hasWarned = false;
  /** A slot does not tell since when: it is as old as this process has known it at the same place. */
  #known: { key: string; since: number; warnedAt: number } | undefined;

  constructor({ observer, logger }: { observer: Pick<Observer, "horizonHeld">; logger: Logger }) {
    this.#observer = observer;
    this.#logger = logger;
  }

  /** Nobody could look. */
  sawNothing(): void {
    this.#observer.horizonHeld(undefined);
  }

  /** @param isHidden - Whether there may be holders that are not shown: then nobody knows that there is none. */
  saw(holder: HorizonHolder | undefined, isHidden = false): void {
    if (isHidden) this.#warnOfHidden();
    if (!holder) {
      this.#known = undefined;
      this.#observer.horizonHeld(isHidden ? undefined : 0);
      return;
    }
    const key = `${holder.kind}/${holder.name}/${holder.xmin}`;
    const now = performance.now();
    if (this.#known?.key !== key) this.#known = { key, since: now, warnedAt: -Infinity };
    const seconds = Math.max(holder.seconds, (now - this.#known.since) / 1_000);
    this.#observer.horizonHeld(seconds);
    if (seconds < LONG || now - this.#known.warnedAt < REPEATED_AFTER) return;
    this.#known.warnedAt = now;
    const { kind, name, applicationName } = holder;
    this.#logger.warn(
      { event: "horizon.held", kind, name, applicationName, seconds: Math.round(seconds) },
      `${kind} ${name} has kept dead rows from being removed for ${Math.round(seconds)} s; queues get slow while it lasts`,
    );
  }
  #warnOfHidden(): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#logger.warn(
      { event: "horizon.invisible" },
      "other users have sessions in the database: what they keep from being removed is not seen before the role of this process has pg_read_all_stats",
    );
  }
}

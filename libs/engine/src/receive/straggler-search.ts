import type { Sql } from "@sluice/database";

import { Pace } from "../pace.ts";
import { findStragglers, type Stretch } from "./find-visible.ts";
import type { QueueClaimer } from "./queue-claimer.ts";
import type { ScanFloor } from "./scan-floor.ts";

/** How often what claims have passed lately is looked at, in ms, and how seldom at the most: it is bounded. */
const NEAR_EVERY = 900;
const NEAR_AT_MOST = 3_000;
/** How often everything else below is, in ms. */
const FULL_EVERY = 5_000;

type StretchOf = (floor: ScanFloor) => Omit<Stretch, "queueId">;

/**
 * Looks for visible messages below the floors of queues, and lowers the floors to them.
 *
 * What such a look costs are the dead entries in its stretch: next to none as a rule, hundreds of thousands when
 * something has held the xmin horizon for minutes. Then the looks become rarer; they never take more than their small
 * share of the time, or a ninth of it where they fail.
 */
export class StragglerSearch {
  readonly #sql: Sql;
  readonly #nearPace = new Pace(NEAR_EVERY, { atMostMs: NEAR_AT_MOST });
  readonly #fullPace = new Pace(FULL_EVERY, { forgivesOne: true });

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** The claimers whose floor was lowered. To be called about once a second, while none is under way. */
  async find(claimers: readonly QueueClaimer[]): Promise<QueueClaimer[]> {
    return [
      ...(await this.#look(this.#nearPace, claimers, ({ near, start }) => ({
        from: near,
        to: start,
      }))),
      ...(await this.#look(this.#fullPace, claimers, ({ near }) => ({
        from: -Infinity,
        to: near,
      }))),
    ];
  }

  async #look(
    pace: Pace,
    claimers: readonly QueueClaimer[],
    stretchOf: StretchOf,
  ): Promise<QueueClaimer[]> {
    if (!pace.isDue) return [];
    const stretches = stretchesOf(claimers, stretchOf);
    if (stretches.length === 0) return [];
    const found = await pace.run(() => findStragglers(this.#sql, stretches));
    if (found.length === 0) return [];
    const byQueue = new Map(claimers.map((claimer) => [claimer.queueId, claimer]));
    return found.flatMap(({ queueId, visibleAt, now }) => {
      const claimer = byQueue.get(queueId);
      claimer?.floor.lower(visibleAt, now);
      return claimer ?? [];
    });
  }
}

/** Those that are not empty. */
function stretchesOf(claimers: readonly QueueClaimer[], stretchOf: StretchOf): Stretch[] {
  const stretches: Stretch[] = [];
  for (const { queueId, floor } of claimers) {
    const { from, to } = stretchOf(floor);
    if (from < to) stretches.push({ queueId, from, to });
  }
  return stretches;
}

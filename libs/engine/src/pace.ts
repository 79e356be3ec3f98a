import { isStatementCancelled } from "@sluice/database";

const MAX_DOUBLINGS = 3;

/**
 * Says when costly work is due again: seldom enough to take no more than a small share of the time, however long it
 * takes.
 */
export class Pace {
  readonly #everyMs: number;
  readonly #share: number;
  readonly #atMostMs: number;
  readonly #forgivesOne: boolean;
  #dueAt = 0;
  /** What the last run that did not fail cost, in ms. */
  #last = 0;
  /** How many of the last runs Postgres cancelled in a row. */
  #cancelled = 0;

  /**
   * @param everyMs - Shortest time from the start of one run to that of the next.
   * @param options - `share`: most of the time, 0 to 1, that the work may take; default 0.02. `atMostMs`: longest time
   *   from the end of one run to the next, whatever it costs; default: none. `forgivesOne`: a run that took longer than
   *   the one before counts as that did, and the first one as nothing, for work that costs about the same each time: it
   *   may have met a standstill, and one of ten seconds would put off the next run by eight minutes. Nor does one that
   *   failed say what they cost, and a pause as long as it took is enough where others are cheap: an outage without a
   *   word has each take 40 s, and the second one would put off the next run by half an hour. Of several in a
   *   row that Postgres cancels, since they cost too much, each has twice the pause of the one before, up to eight
   *   times what it took. Default false.
   */
  constructor(everyMs: number, { share = 0.02, atMostMs = Infinity, forgivesOne = false } = {}) {
    this.#everyMs = everyMs;
    this.#share = share;
    this.#atMostMs = atMostMs;
    this.#forgivesOne = forgivesOne;
  }

  get isDue(): boolean {
    return performance.now() >= this.#dueAt;
  }

  /** The next run is due at once. */
  reset(): void {
    this.#dueAt = 0;
  }

  /** @param usefulMs - How much of the time went into what had to be done anyhow, whenever: it is not counted. */
  async run<Result>(
    work: () => Promise<Result>,
    usefulMs: (result: Result) => number = () => 0,
  ): Promise<Result> {
    const startedAt = performance.now();
    const elapsed = () => performance.now() - startedAt;
    try {
      const result = await work();
      this.#rest(startedAt, this.#pauseAfter(Math.max(0, elapsed() - usefulMs(result))));
      return result;
    } catch (error) {
      this.#cancelled = isStatementCancelled(error) ? this.#cancelled + 1 : 0;
      this.#rest(startedAt, this.#pauseAfterFailure(elapsed()));
      throw error;
    }
  }

  #rest(startedAt: number, pause: number): void {
    const restedAt = performance.now() + Math.min(this.#atMostMs, pause);
    this.#dueAt = Math.max(startedAt + this.#everyMs, restedAt);
  }

  #pauseAfter(cost: number): number {
    const counted = this.#forgivesOne ? Math.min(cost, this.#last) : cost;
    this.#last = cost;
    this.#cancelled = 0;
    return counted / this.#share;
  }

  #pauseAfterFailure(cost: number): number {
    if (!this.#forgivesOne) return cost / this.#share;
    const doublings = Math.min(MAX_DOUBLINGS, Math.max(0, this.#cancelled - 1));
    return Math.max(cost * 2 ** doublings, Math.min(cost, this.#last) / this.#share);
  }
}

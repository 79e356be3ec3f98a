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
  /** How many runs before this one failed in a row. */
  #failures = 0;

  /**
   * @param everyMs - Shortest time from the start of one run to that of the next.
   * @param options - `share`: most of the time, 0 to 1, that the work may take; default 0.02. `atMostMs`: longest time
   *   from the end of one run to the next, whatever it costs; default: none. `forgivesOne`: a run that took longer than
   *   the one before counts as that did, and the first one as nothing, for work that costs about the same each time: it
   *   may have met a standstill, and one of ten seconds would put off the next run by eight minutes. Nor does one that
   *   failed say what they cost, and a pause as long as it took is enough where others are cheap: an outage without a
   *   word has each take 40 s, and the second one would put off the next run by half an hour. Of several that fail in a
   *   row each has twice the pause of the one before, up to eight times what it took: they may fail because they cost
   *   too much. Default false.
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
    let useful = 0;
    let failed = true;
    try {
      const result = await work();
      useful = usefulMs(result);
      failed = false;
      return result;
    } finally {
      const endedAt = performance.now();
      const cost = Math.max(0, endedAt - startedAt - useful);
      this.#dueAt = Math.max(
        startedAt + this.#everyMs,
        endedAt + Math.min(this.#atMostMs, this.#pauseAfter(cost, failed)),
      );
      this.#failures = failed ? this.#failures + 1 : 0;
      if (!failed) this.#last = cost;
    }
  }

  #pauseAfter(cost: number, failed: boolean): number {
    if (!this.#forgivesOne) return cost / this.#share;
    const ofFailure = failed ? cost * 2 ** Math.min(this.#failures, MAX_DOUBLINGS) : 0;
    return Math.max(ofFailure, Math.min(cost, this.#last) / this.#share);
  }
}

/** The share of its time that something paced may take. */
const SHARE = 0.02;

/** Keeps something whose cost grows with what it has to look at to a small share of the time. */
export class Pace {
  readonly #leastMs: number;
  readonly #mostMs: number;
  #nextAt = 0;

  /**
   * @param leastMs - Shortest time from one run to the next.
   * @param mostMs - Longest time from the end of one run to the next, whatever it costs.
   */
  constructor(leastMs: number, mostMs = Infinity) {
    this.#leastMs = leastMs;
    this.#mostMs = mostMs;
  }

  get isDue(): boolean {
    return performance.now() >= this.#nextAt;
  }

  /** The next run is due at once. */
  reset(): void {
    this.#nextAt = 0;
  }

  async run<Result>(call: () => Promise<Result>): Promise<Result> {
    const start = performance.now();
    try {
      return await call();
    } finally {
      const end = performance.now();
      this.#nextAt = Math.max(
        start + this.#leastMs,
        end + Math.min(this.#mostMs, (end - start) / SHARE),
      );
    }
  }
}

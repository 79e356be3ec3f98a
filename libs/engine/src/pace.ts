/** The share of its time that something paced may take. */
const SHARE = 0.02;

/** Keeps something whose cost grows with what it has to look at to a small share of the time. */
export class Pace {
  readonly #leastMs: number;
  #nextAt = 0;

  /** @param leastMs - Shortest time between two runs. */
  constructor(leastMs: number) {
    this.#leastMs = leastMs;
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
      this.#nextAt = Math.max(start + this.#leastMs, end + (end - start) / SHARE);
    }
  }
}

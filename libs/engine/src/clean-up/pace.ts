/** Says when costly work is due again: seldom enough to take no more than a share of the time, however long it takes. */
export class Pace {
  readonly #everyMs: number;
  readonly #share: number;
  #dueAt = 0;

  /** @param options - `everyMs`: the shortest pause. `share`: most of its time, 0 to 1, that the work may take. */
  constructor({ everyMs, share }: { everyMs: number; share: number }) {
    this.#everyMs = everyMs;
    this.#share = share;
  }

  get isDue(): boolean {
    return performance.now() >= this.#dueAt;
  }

  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    const startedAt = performance.now();
    try {
      return await work();
    } finally {
      const endedAt = performance.now();
      this.#dueAt = endedAt + Math.max(this.#everyMs, (endedAt - startedAt) / this.#share);
    }
  }
}

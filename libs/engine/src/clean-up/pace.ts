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

  /** @param usefulMs - How much of the time went into what had to be done anyhow, whenever: it is not counted. */
  async run<Result>(
    work: () => Promise<Result>,
    usefulMs: (result: Result) => number = () => 0,
  ): Promise<Result> {
    const startedAt = performance.now();
    let useful = 0;
    try {
      const result = await work();
      useful = usefulMs(result);
      return result;
    } finally {
      const endedAt = performance.now();
      const counted = Math.max(0, endedAt - startedAt - useful);
      this.#dueAt = endedAt + Math.max(this.#everyMs, counted / this.#share);
    }
  }
}

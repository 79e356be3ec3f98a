/** No statement of the clean-up is meant to take longer than this, ms; its time-out is 120 s. */
const LONG = 10_000;
const SHORT = 2_000;

/**
 * How much one statement removes. Where a statement has to read a whole table to find out what to remove, many small
 * ones would read it many times; where rows are large, a large one would take minutes. So it is measured.
 */
export class ChunkSize {
  readonly #min: number;
  readonly #max: number;
  #size: number;

  constructor({ min, max }: { min: number; max: number }) {
    this.#min = min;
    this.#max = max;
    this.#size = min;
  }

  /** Removes chunk by chunk until one is not full, or the signal fires; the sum of what was removed. */
  async removeAll(
    removeChunk: (size: number) => Promise<number>,
    signal?: AbortSignal,
  ): Promise<number> {
    let total = 0;
    for (;;) {
      const size = this.#size;
      const startedAt = performance.now();
      const count = await this.#attempt(removeChunk, size);
      const took = performance.now() - startedAt;
      total += count;
      if (took > LONG) this.#size = Math.max(this.#min, size / 2);
      else if (took < SHORT && count === size) this.#size = Math.min(this.#max, size * 2);
      if (count < size || signal?.aborted) return total;
    }
  }

  /** A statement that was cut off has done nothing: the next one tries less. */
  async #attempt(removeChunk: (size: number) => Promise<number>, size: number): Promise<number> {
    try {
      return await removeChunk(size);
    } catch (error) {
      this.#size = Math.max(1, Math.floor(size / 4));
      throw error;
    }
  }
}

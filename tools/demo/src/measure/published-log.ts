import type { Fingerprint } from "../fingerprint.ts";

export interface Publication {
  readonly print: Fingerprint;
  /** When it was handed to the producer, in milliseconds of `performance.now()`. */
  readonly publishedAt: number;
}

/** What was published and acknowledged, by message id. */
export class PublishedLog {
  readonly #publications = new Map<string, Publication>();
  readonly #waiting = new Map<() => void, number>();

  add(id: string, publication: Publication): void {
    this.#publications.set(id, publication);
    for (const [resolve, size] of this.#waiting) {
      if (this.size < size) continue;
      this.#waiting.delete(resolve);
      resolve();
    }
  }

  get size(): number {
    return this.#publications.size;
  }

  get(id: string): Publication | undefined {
    return this.#publications.get(id);
  }

  ids(): Iterable<string> {
    return this.#publications.keys();
  }

  prints(): Map<string, Fingerprint> {
    return new Map(Array.from(this.#publications, ([id, { print }]) => [id, print]));
  }

  /** Resolves when that many messages have been published. */
  reached(size: number): Promise<void> {
    if (this.size >= size) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.set(resolve, size));
  }
}

import type { Writable } from "node:stream";

/** One direction of a connection. What is late is kept in order, also when the weather changes meanwhile. */
export class Flow {
  readonly #to: Writable;
  readonly #late: { due: number; act: () => void }[] = [];

  constructor(to: Writable) {
    this.#to = to;
  }

  write(chunk: Buffer, delayMs: number): void {
    this.#after(delayMs, () => {
      if (!this.#to.destroyed) this.#to.write(chunk);
    });
  }

  end(delayMs: number): void {
    this.#after(delayMs, () => this.#to.end());
  }

  #after(delayMs: number, act: () => void): void {
    if (delayMs === 0 && this.#late.length === 0) return act();
    const due = Math.max(performance.now() + delayMs, this.#late.at(-1)?.due ?? 0);
    this.#late.push({ due, act });
    if (this.#late.length === 1) this.#wait(delayMs);
  }

  #wait(ms: number): void {
    setTimeout(() => {
      const now = performance.now();
      const early = this.#late.findIndex(({ due }) => due > now);
      for (const { act } of this.#late.splice(0, early < 0 ? this.#late.length : early)) act();
      const [next] = this.#late;
      if (next !== undefined) this.#wait(next.due - now);
    }, ms);
  }
}

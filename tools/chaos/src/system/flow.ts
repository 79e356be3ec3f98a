import type { Writable } from "node:stream";

/** One direction of a connection. What is late is kept in order, also when the weather changes meanwhile. */
export class Flow {
  readonly #to: Writable;
  readonly #late: { due: number; act: () => void }[] = [];
  #timer: NodeJS.Timeout | undefined;

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
    this.#timer ??= this.#wait();
  }

  #wait(): NodeJS.Timeout | undefined {
    const [first] = this.#late;
    if (first === undefined) return undefined;
    return setTimeout(() => {
      const now = performance.now();
      const isDue = this.#late.findIndex(({ due }) => due > now);
      for (const { act } of this.#late.splice(0, isDue < 0 ? this.#late.length : isDue)) act();
      this.#timer = this.#wait();
    }, first.due - performance.now());
  }
}

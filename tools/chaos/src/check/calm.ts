import type { Span } from "./spans.ts";

/**
 * How long, in ns and without faults, it may take until what can be received is received: also what has to be fanned
 * out before. In an hour of everything the slowest of 1.3 million deliveries took 2.8 s.
 */
const PATIENCE = 15e9;

/**
 * The time without faults. While they follow each other nothing has to go on, so what the product promises to do by
 * itself is due when there has been so much time without any since.
 */
export class Calm {
  /** Of faults, merged where they overlap, in order. */
  readonly #begins: number[] = [];
  /** For each, how long all before it lasted; and all of them. */
  readonly #lasted: number[] = [0];
  readonly #isKnown: boolean;

  /** @param faults - undefined: nobody knows, so nothing is ever due */
  constructor(faults: readonly Span[] | undefined) {
    this.#isKnown = faults !== undefined;
    let until = -Infinity;
    for (const { begin, end } of (faults ?? []).toSorted((a, b) => a.begin - b.begin)) {
      if (end <= until) continue;
      this.#begins.push(Math.max(begin, until));
      this.#lasted.push((this.#lasted.at(-1) ?? 0) + end - Math.max(begin, until));
      until = end;
    }
  }

  /** When that is due which could be done from a moment on, or which takes as long as several such things. */
  dueAfter(moment: number, things = 1): number {
    if (!this.#isKnown) return Infinity;
    const calm = this.#calmBefore(moment) + things * PATIENCE;
    const faults = firstFrom(
      this.#begins.length,
      (place) => this.#begins[place]! - this.#lasted[place]! > calm,
    );
    return calm + this.#lasted[faults]!;
  }

  #calmBefore(moment: number): number {
    const begun = firstFrom(this.#begins.length, (place) => this.#begins[place]! >= moment);
    if (begun === 0) return moment;
    const last = begun - 1;
    const inLast = Math.min(
      moment - this.#begins[last]!,
      this.#lasted[begun]! - this.#lasted[last]!,
    );
    return moment - this.#lasted[last]! - inLast;
  }
}

/** The first place from which on something holds. */
function firstFrom(length: number, holds: (place: number) => boolean): number {
  let [from, to] = [0, length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (holds(middle)) to = middle;
    else from = middle + 1;
  }
  return from;
}

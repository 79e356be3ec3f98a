export interface Span {
  begin: number;
  end: number;
}

/**
 * Spans of time, arranged so that what the checks ask of them takes a binary search: an hour has hundreds of purges and
 * tens of thousands of receives without an answer, and every message asks.
 */
export class Spans {
  /** In order. */
  readonly #begins: Float64Array;
  /** The latest end of a span and of all before it. */
  readonly #latest: Float64Array;
  /** The earliest end of a span and of all after it. */
  readonly #earliest: Float64Array;
  /** In order. */
  readonly #ends: Float64Array;

  constructor(spans: Iterable<Span>) {
    const sorted = Array.from(spans, ({ begin, end }) => ({ begin, end }));
    // Not by their difference: that of two infinities is no number.
    sorted.sort((a, b) => (a.begin < b.begin ? -1 : a.begin > b.begin ? 1 : 0));
    this.#begins = Float64Array.from(sorted, ({ begin }) => begin);
    let bound = -Infinity;
    this.#latest = Float64Array.from(sorted, ({ end }) => (bound = Math.max(bound, end)));
    this.#ends = Float64Array.from(sorted, ({ end }) => end).sort();
    bound = Infinity;
    this.#earliest = Float64Array.from(
      sorted.toReversed(),
      ({ end }) => (bound = Math.min(bound, end)),
    ).toReversed();
  }

  /** How many begin before a moment. */
  begunBefore(moment: number): number {
    return firstFrom(this.#begins, (begin) => begin >= moment);
  }

  /** How many end before a moment. */
  endedBefore(moment: number): number {
    return firstFrom(this.#ends, (end) => end >= moment);
  }

  /** The latest end of those that begin before a moment; -Infinity without one. */
  latestEnd(before = Infinity): number {
    return this.#latest[this.begunBefore(before) - 1] ?? -Infinity;
  }

  /** The earliest end of those that begin at a moment or later; Infinity without one. */
  earliestEnd(from: number): number {
    return this.#earliest[this.begunBefore(from)] ?? Infinity;
  }

  /** The earliest begin of those that end after a moment; Infinity without one. */
  earliestBegin(after: number): number {
    return this.#begins[firstFrom(this.#latest, (end) => end > after)] ?? Infinity;
  }
}

/** The first place in a rising list from which on something holds. */
function firstFrom(list: Float64Array, holds: (value: number) => boolean): number {
  let [from, to] = [0, list.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (holds(list[middle] as number)) to = middle;
    else from = middle + 1;
  }
  return from;
}

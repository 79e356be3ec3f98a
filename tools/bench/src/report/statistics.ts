/** The middle of some rounds and how far they lie apart. */
export interface Figure {
  median: number;
  min: number;
  max: number;
  /** In the order of the rounds. */
  values: number[];
}

/** Fails for no values: a figure without a round is no figure. */
export function figureOf(values: readonly number[]): Figure {
  if (values.length === 0) throw new Error("a figure needs at least one value");
  const sorted = values.toSorted((one, other) => one - other);
  return {
    median: medianOf(sorted),
    min: sorted[0] ?? 0,
    max: sorted.at(-1) ?? 0,
    values: [...values],
  };
}

function medianOf(sorted: readonly number[]): number {
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? 0;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? 0) + upper) / 2 : upper;
}

/**
 * The smallest value that `percent` of all are not above (nearest rank). Sorts what it is given; 0 when there are none.
 */
export function percentiles(values: Float64Array, ...percents: number[]): number[] {
  values.sort();
  return percents.map((percent) => {
    // 99.9 % of 1,000 is a little more than 999 in floating point.
    const rank = Math.ceil((percent * values.length) / 100 - 1e-9);
    return values[Math.max(0, rank - 1)] ?? 0;
  });
}

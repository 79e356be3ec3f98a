import type { Anomaly, AnomalyName } from "./anomaly.ts";

/** What was found, told in bounds. */
export interface Summary {
  /** Of each name the first {@link MOST_OF_EACH}. */
  anomalies: Anomaly[];
  /** How many there are of each name. */
  counts: AnomalyCounts;
}

export type AnomalyCounts = Partial<Record<AnomalyName, number>>;

/**
 * More of them say nothing new. A broken product may make each delivery one, and a million of them are more than a text
 * of JSON can hold.
 */
const MOST_OF_EACH = 1_000;

export function summarize(found: readonly Anomaly[]): Summary {
  const counts: AnomalyCounts = {};
  const anomalies = found.filter(({ name }) => {
    const before = counts[name] ?? 0;
    counts[name] = before + 1;
    return before < MOST_OF_EACH;
  });
  return { anomalies, counts };
}

export function together(one: Summary, other: Summary): Summary {
  const counts = { ...one.counts };
  for (const [name, count] of entriesOf(other.counts)) counts[name] = (counts[name] ?? 0) + count;
  return { anomalies: [...one.anomalies, ...other.anomalies], counts };
}

/** Of all names together. */
export function totalOf(counts: AnomalyCounts): number {
  return entriesOf(counts).reduce((sum, [, count]) => sum + count, 0);
}

export function entriesOf(counts: AnomalyCounts): [AnomalyName, number][] {
  return Object.entries(counts) as [AnomalyName, number][];
}

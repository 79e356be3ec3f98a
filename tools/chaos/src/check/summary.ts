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
  return { anomalies: firstOfEach(found), counts: countsOf(found) };
}

export function together(one: Summary, other: Summary): Summary {
  const counts = { ...one.counts };
  for (const [name, count] of entriesOf(other.counts)) counts[name] = (counts[name] ?? 0) + count;
  return { anomalies: firstOfEach([...one.anomalies, ...other.anomalies]), counts };
}

function countsOf(found: readonly Anomaly[]): AnomalyCounts {
  const counts: AnomalyCounts = {};
  for (const { name } of found) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function firstOfEach(found: readonly Anomaly[]): Anomaly[] {
  const before: AnomalyCounts = {};
  return found.filter(({ name }) => {
    before[name] = (before[name] ?? 0) + 1;
    return before[name] <= MOST_OF_EACH;
  });
}

/** Of all names together. */
export function totalOf(counts: AnomalyCounts): number {
  return entriesOf(counts).reduce((sum, [, count]) => sum + count, 0);
}

export function entriesOf(counts: AnomalyCounts): [AnomalyName, number][] {
  return Object.entries(counts) as [AnomalyName, number][];
}

import type { Figure } from "./statistics.ts";

/** What was measured. */
export interface Metric {
  key: string;
  /** Head of its column: short. */
  label: string;
  /** In full, for the chart: "deliveries a second". */
  unit: string;
  better: "higher" | "lower";
}

/** One line of a result: a system, or a part of it, under one variant of the workload. */
export interface Row {
  label: string;
  /** "100 queues", where a benchmark has variants. */
  variant?: string;
  /** By the key of the metric. */
  figures: Record<string, Figure>;
  /** Why there are no figures. */
  failure?: string;
}

/** The result of a benchmark, as `--json` writes it. */
export interface Report {
  name: string;
  title: string;
  /** What was done, in words. */
  workload: string;
  /** The first is the one that ratios and the chart show. */
  metrics: Metric[];
  rows: Row[];
  /** Whether the rows are parts of one system: what one of them has is no measure of the others. */
  ofParts?: true;
  /** Settings of the systems, what was skipped and why. */
  notes: string[];
}

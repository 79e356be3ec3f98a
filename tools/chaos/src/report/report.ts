import type { Indexed } from "../check/indexed.ts";
import type { Summary } from "../check/summary.ts";
import type { Fault } from "../nemeses/schedule.ts";

export interface OperationCount {
  ok: number;
  fail: number;
  unknown: number;
}

/** By what the report calls them. */
export type OperationCounts = Record<string, OperationCount>;

export interface MessageCounts {
  sent: number;
  acknowledged: number;
  unknown: number;
  refused: number;
  deliveries: number;
  /** Receives beyond the first one of a delivery: the consumers' own doing, for the most part. */
  redeliveries: number;
}

export interface FaultCount {
  strikes: number;
  /** Milliseconds from the end of a fault until every API published and delivered again. */
  recoveredAfter: { median: number; max: number };
}

/** What a run came to. */
export interface ChaosReport extends Summary {
  ok: boolean;
  seed: number;
  /** For how long faults went on, also where it was interrupted. */
  seconds: number;
  /** What was not tested, and why. */
  leftOut: string[];
  operations: OperationCounts;
  messages: MessageCounts;
  faults: Record<string, FaultCount>;
  /** Error lines of the processes, by their event. */
  complaints: Record<string, number>;
  drainedAfter: number | undefined;
  /** Where the histories are, when they were to be kept or somebody should read them. */
  histories: string | undefined;
}

export function countMessages({ messages, receives }: Indexed): MessageCounts {
  const all = [...messages.values()];
  let [received, deliveries] = [0, 0];
  for (const of of receives.values()) {
    received += of.length;
    deliveries += new Set(of.map(({ queue }) => queue)).size;
  }
  return {
    sent: all.length,
    acknowledged: all.filter(({ ids }) => ids.length > 0).length,
    unknown: all.filter(({ ids, possible }) => ids.length === 0 && possible).length,
    refused: all.filter(({ possible }) => !possible).length,
    deliveries,
    redeliveries: received - deliveries,
  };
}

export function countFaults(faults: readonly Fault[]): ChaosReport["faults"] {
  const byName = new Map<string, Fault[]>();
  for (const fault of faults) {
    for (const name of fault.name.split(" + "))
      byName.set(name, [...(byName.get(name) ?? []), fault]);
  }
  return Object.fromEntries(
    [...byName].map(([name, list]): [string, FaultCount] => {
      const times = list.map(({ recoveredAfter }) => recoveredAfter ?? Infinity);
      times.sort((a, b) => a - b);
      const median = times[Math.floor((times.length - 1) / 2)] ?? 0;
      return [name, { strikes: list.length, recoveredAfter: { median, max: times.at(-1) ?? 0 } }];
    }),
  );
}

import type { Anomaly } from "../check/anomaly.ts";
import type { Call, OperationName } from "../history/history.ts";
import type { Fault } from "../nemeses/schedule.ts";

export interface OperationCount {
  ok: number;
  fail: number;
  unknown: number;
}

export interface FaultCount {
  strikes: number;
  /** Milliseconds from the end of a fault until every API published and delivered again. */
  recoveredAfter: { median: number; max: number };
}

/** What a run came to. */
export interface ChaosReport {
  ok: boolean;
  seed: number;
  seconds: number;
  /** What the server under test cannot do, so that it was not tested. */
  leftOut: string[];
  operations: Partial<Record<OperationName, OperationCount>>;
  messages: {
    sent: number;
    acknowledged: number;
    unknown: number;
    refused: number;
    deliveries: number;
    /** Receives beyond the first one of a delivery: the consumers' own doing, for the most part. */
    redeliveries: number;
  };
  faults: Record<string, FaultCount>;
  /** Error lines of the processes, by their event. */
  complaints: Record<string, number>;
  drainedAfter: number | undefined;
  anomalies: Anomaly[];
}

export function countOperations(calls: readonly Call[]): ChaosReport["operations"] {
  const counts: Partial<Record<OperationName, OperationCount>> = {};
  for (const { operation, outcome } of calls) {
    const count = (counts[operation] ??= { ok: 0, fail: 0, unknown: 0 });
    count[outcome] += 1;
  }
  return counts;
}

export function countMessages(calls: readonly Call[]): ChaosReport["messages"] {
  const states = new Map<string, "acknowledged" | "unknown" | "refused">();
  const deliveries = new Map<string, number>();
  for (const call of calls) {
    if (call.operation === "publish" || call.operation === "send") {
      call.request.messages.forEach(({ value }, index) => {
        const result = call.response?.[index];
        const known = states.get(value);
        if (result !== undefined && "id" in result) states.set(value, "acknowledged");
        else if (known === undefined || known === "refused")
          states.set(value, call.outcome === "unknown" ? "unknown" : "refused");
      });
    } else if (call.operation === "receive") {
      for (const { value } of call.response ?? []) {
        const key = `${value}/${call.request.queue}`;
        deliveries.set(key, (deliveries.get(key) ?? 0) + 1);
      }
    }
  }
  const all = [...states.values()];
  const receives = [...deliveries.values()].reduce((sum, count) => sum + count, 0);
  return {
    sent: all.length,
    acknowledged: all.filter((state) => state === "acknowledged").length,
    unknown: all.filter((state) => state === "unknown").length,
    refused: all.filter((state) => state === "refused").length,
    deliveries: deliveries.size,
    redeliveries: receives - deliveries.size,
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

import type { PublishedLog } from "./published-log.ts";
import type { Tally } from "./tally.ts";

/** From handing a message to the producer to its first arrival at the service, in milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

export function latencyOf(log: PublishedLog, tally: Tally): Latency {
  const times: number[] = [];
  for (const [id, arrivedAt] of tally.arrivals) {
    const publication = log.get(id);
    if (publication !== undefined) times.push(arrivedAt - publication.publishedAt);
  }
  times.sort((one, other) => one - other);
  return { p50: percentile(times, 50), p99: percentile(times, 99) };
}

/** The smallest value that `percent` of all are not above (nearest rank); 0 when there are none. */
function percentile(sorted: readonly number[], percent: number): number {
  const rank = Math.ceil((percent / 100) * sorted.length);
  return sorted[Math.max(0, rank - 1)] ?? 0;
}

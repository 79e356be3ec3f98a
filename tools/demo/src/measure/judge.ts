import { combined } from "../fingerprint.ts";
import { latencyOf } from "./latency.ts";
import type { PublishedLog } from "./published-log.ts";
import { services } from "./result.ts";
import type {
  DemoResult,
  Incident,
  Left,
  PublishedResult,
  QueueResult,
  ServiceName,
} from "./result.ts";
import type { Tally } from "./tally.ts";

/** Everything that was seen from the first publish until the services had stopped. */
export interface Observations {
  /** How many messages of each event type were to be published. */
  readonly eventTypes: ReadonlyMap<string, number>;
  readonly log: PublishedLog;
  readonly tallies: Readonly<Record<ServiceName, Tally>>;
  /** What each queue still holds. */
  readonly left: Readonly<Record<ServiceName, Left>>;
  /** What the counter has counted. */
  readonly counted: ReadonlyMap<string, number>;
  /** Lines in the audit log. */
  readonly auditLines: number;
  readonly incidents: readonly Incident[];
  readonly seconds: number;
}

/** Holds what came out against what went in. */
export function judge(seen: Observations): DemoResult {
  const { log, incidents, seconds } = seen;
  const published: PublishedResult = {
    messages: log.size,
    ...combined(log.prints()),
    eventTypes: Object.fromEntries(seen.eventTypes),
  };
  const queues = {
    audit: queueResult("audit", seen),
    counter: queueResult("counter", seen),
    slow: queueResult("slow", seen),
  };
  const problems = [
    ...unpublished(seen),
    ...services.flatMap((name) => queueProblems(name, seen)),
    ...services.flatMap((name) => disagreement(name, queues[name], published)),
    ...outcomeProblems(seen),
  ];
  return { ok: problems.length === 0, problems, seconds, published, queues, incidents };
}

function queueResult(name: ServiceName, { log, tallies, left }: Observations): QueueResult {
  const tally = tallies[name];
  return {
    received: tally.deliveries,
    redelivered: tally.redeliveries,
    distinct: tally.handled.size,
    ...combined(tally.handled),
    latencyMs: latencyOf(log, tally),
    left: left[name],
  };
}

function unpublished({ eventTypes, log }: Observations): string[] {
  const wanted = sum(eventTypes.values());
  return log.size === wanted ? [] : [`published: ${log.size} messages instead of ${wanted}`];
}

/** What is off with single messages of a queue. */
function queueProblems(name: ServiceName, { log, tallies, left }: Observations): string[] {
  const { arrivals, handled, doubled } = tallies[name];
  const { visible, inFlight, delayed } = left[name];
  const missing = [...log.ids()].filter((id) => !handled.has(id));
  const unknown = [...arrivals.keys()].filter((id) => log.get(id) === undefined);
  const changed = [...handled]
    .filter(([id, { sha256 }]) => (log.get(id)?.print.sha256 ?? sha256) !== sha256)
    .map(([id]) => id);
  return [
    ...told(missing, "messages were not handled"),
    ...told([...doubled], "messages were handled with success more than once"),
    ...told(unknown, "messages came that were not published"),
    ...told(changed, "messages came with another body"),
    ...(visible + inFlight + delayed === 0
      ? []
      : [`the queue still holds ${visible} visible, ${inFlight} in flight and ${delayed} delayed`]),
  ].map((problem) => `${name}: ${problem}`);
}

/** Whether both ends agree on the whole, which looking at single messages does not prove. */
function disagreement(name: ServiceName, queue: QueueResult, published: PublishedResult): string[] {
  const same = queue.sha256 === published.sha256 && queue.bytes === published.bytes;
  return same ? [] : [`${name}: bytes or SHA-256 differ from what was published`];
}

/** Whether the services did their own work right: the point of it all. */
function outcomeProblems({ eventTypes, counted, auditLines, log }: Observations): string[] {
  const problems: string[] = [];
  for (const type of new Set([...eventTypes.keys(), ...counted.keys()])) {
    const [is, wanted] = [counted.get(type) ?? 0, eventTypes.get(type) ?? 0];
    if (is !== wanted)
      problems.push(`counter: counted ${is} events of type ${type} instead of ${wanted}`);
  }
  if (auditLines !== log.size) {
    problems.push(`audit: the log has ${auditLines} lines instead of ${log.size}`);
  }
  return problems;
}

function told(ids: readonly string[], what: string): string[] {
  return ids.length === 0 ? [] : [`${ids.length} ${what}, such as ${ids[0]}`];
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}

import { connect } from "@sluice/client";
import type { Declared } from "../github-events.ts";
import type { ServiceName } from "../measure/result.ts";
import type { Tally } from "../measure/tally.ts";
import { audit } from "./audit.ts";
import { counter } from "./counter.ts";
import type { ServiceContext } from "./service.ts";
import { slow } from "./slow.ts";

export interface ServicesPlan extends Omit<ServiceContext, "tally"> {
  /** The APIs; the services are spread over them, beginning with the one that is not published to. */
  readonly urls: readonly string[];
  readonly tallies: Readonly<Record<ServiceName, Tally>>;
  readonly auditFile: string;
}

/** Runs the three services until the signal; gives what the counter has counted. */
export async function runServices(
  declared: Declared,
  { urls, tallies, auditFile, ...context }: ServicesPlan,
): Promise<Map<string, number>> {
  const connectionOf = (index: number) => connect({ url: urls[(index + 1) % urls.length]! });
  const [counts] = await Promise.all([
    counter(connectionOf(0), declared.counter, { ...context, tally: tallies.counter }),
    audit(connectionOf(1), declared.audit, { ...context, tally: tallies.audit, file: auditFile }),
    slow(connectionOf(2), declared.slow, { ...context, tally: tallies.slow }),
  ]);
  return counts;
}

import { connect } from "@sluice/client";
import type { Declared } from "./github-events.ts";
import { causeIncidents } from "./incidents.ts";
import { LocalSystem } from "./local-system.ts";
import { PublishedLog } from "./measure/published-log.ts";
import type { Incident } from "./measure/result.ts";
import { Tally } from "./measure/tally.ts";
import type { DemoOptions } from "./options.ts";
import { publish } from "./publish.ts";
import { runServices } from "./services/run-services.ts";
import type { Display } from "./show/display.ts";
import { failureLine, incidentLine } from "./show/lines.ts";
import { watchProgress } from "./show/watch-progress.ts";
import type { System } from "./system.ts";
import { untilHandled } from "./until-handled.ts";
import type { Webhook } from "./webhooks.ts";

export interface PlayPlan {
  readonly options: DemoOptions;
  readonly system: System;
  readonly declared: Declared;
  readonly webhooks: readonly Webhook[];
  readonly auditFile: string;
  readonly display: Display;
  readonly signal: AbortSignal;
}

/** What a play leaves to be judged. */
export interface Played {
  readonly log: PublishedLog;
  readonly tallies: { readonly audit: Tally; readonly counter: Tally; readonly slow: Tally };
  readonly counted: ReadonlyMap<string, number>;
  readonly incidents: readonly Incident[];
  readonly seconds: number;
}

/** Publishes everything while the three services consume it, and stops them when they have it all. */
export async function play(plan: PlayPlan): Promise<Played> {
  const { system, declared, auditFile, display } = plan;
  const log = new PublishedLog();
  const tallies = { audit: new Tally(), counter: new Tally(), slow: new Tally() };
  const incidents: Incident[] = [];
  const stopping = new AbortController();
  const startedAt = performance.now();

  const consuming = runServices(declared, {
    urls: system.urls,
    tallies,
    auditFile,
    signal: stopping.signal,
    onError: (failure) => display.line(failureLine(failure)),
  });
  const signal = AbortSignal.any([plan.signal, stopping.signal]);
  const producing = produce({ ...plan, signal }, { log, tallies, incidents });
  const total = totalOf(plan);
  using _progress = watchProgress(display, { log, tallies, total });
  try {
    // A service that cannot go on ends the play, and so does a process that ends by itself.
    await Promise.race([producing, consuming, system.broken]);
  } finally {
    stopping.abort();
    await Promise.allSettled([consuming]);
  }
  const counted = await consuming;
  const seconds = (performance.now() - startedAt) / 1_000;
  return { log, tallies, counted, incidents, seconds };
}

/** Publishes, kills what is to be killed meanwhile, and waits for the services to be done with everything. */
async function produce(
  { options, system, declared, webhooks, display, signal }: PlayPlan,
  { log, tallies, incidents }: Pick<Played, "log" | "tallies"> & { incidents: Incident[] },
): Promise<void> {
  const messages = totalOf({ webhooks, options });
  const onIncident = (incident: Incident) => {
    incidents.push(incident);
    display.line(incidentLine(incident, messages));
  };
  const connection = connect({ url: system.urls[0]! });
  await Promise.all([
    publish(connection, declared.events, { ...options, webhooks, log, signal }),
    system instanceof LocalSystem &&
      causeIncidents(system, { ...options, messages, log, onIncident }),
  ]);
  await untilHandled(Object.values(tallies), messages, signal);
}

function totalOf({ webhooks, options }: Pick<PlayPlan, "webhooks" | "options">): number {
  return webhooks.length * options.rounds;
}

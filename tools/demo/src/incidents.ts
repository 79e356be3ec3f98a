import type { PublishedLog } from "./measure/published-log.ts";
import type { Incident } from "./measure/result.ts";
import type { LocalSystem } from "./local-system.ts";

export interface IncidentPlan {
  readonly killDispatcher: boolean;
  readonly killNats: boolean;
  /** How many messages will be published. */
  readonly messages: number;
  readonly log: PublishedLog;
  readonly onIncident: (incident: Incident) => void;
}

/** Kills what it is told to when a third of the messages has been published, and starts it again after two thirds. */
export async function causeIncidents(system: LocalSystem, plan: IncidentPlan): Promise<void> {
  const { messages, log } = plan;
  const happened = (what: Incident["what"]) => plan.onIncident({ what, atMessage: log.size });
  if (!plan.killDispatcher && !plan.killNats) return;
  if (!system.distributed) {
    throw new Error("There is nothing to kill: without a nats-server all is one process.");
  }

  await log.reached(Math.ceil(messages / 3));
  if (plan.killDispatcher) {
    await system.killDispatcher();
    happened("dispatcher killed");
  }
  if (plan.killNats) {
    await system.killNats();
    happened("NATS killed");
  }
  await log.reached(Math.ceil((2 * messages) / 3));
  if (plan.killNats) {
    await system.startNats();
    happened("NATS started");
  }
  if (plan.killDispatcher) {
    await system.startDispatcher();
    happened("dispatcher started");
  }
}

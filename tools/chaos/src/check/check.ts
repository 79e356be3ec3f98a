import type { History } from "../history/history.ts";
import type { Anomaly, AnomalyName } from "./anomaly.ts";
import { checkDeadLetters } from "./dead-letters.ts";
import { checkFifo } from "./fifo.ts";
import { Indexed } from "./indexed.ts";
import { checkKeys } from "./keys.ts";
import { silent, type Progress } from "./progress.ts";
import { checkStays } from "./receiving.ts";
import { checkArrivals, checkDeliveries, checkEnds, checkRepeats } from "./sending.ts";
import { checkAcknowledgements, checkPauses, checkRemovals } from "./settling.ts";
import { checkWaits } from "./waiting.ts";

/** One for each promise, or few that belong together. */
const checks = {
  arrivals: checkArrivals,
  ends: checkEnds,
  deliveries: checkDeliveries,
  repeats: checkRepeats,
  stays: checkStays,
  waits: checkWaits,
  acknowledgements: checkAcknowledgements,
  removals: checkRemovals,
  pauses: checkPauses,
  "dead letters": checkDeadLetters,
  "FIFO queues": checkFifo,
  keys: checkKeys,
};

/**
 * Everything that a history says against the promises of Sluice.
 *
 * What is unknown is held to have happened or not, whichever is the better excuse: what is reported is certain.
 */
export function check(history: History): Anomaly[] {
  return checkIndexed(new Indexed(history));
}

/** The same, of a history that is arranged already. */
export function checkIndexed(index: Indexed, progress: Progress = silent): Anomaly[] {
  const found: Anomaly[] = [];
  const report = (name: AnomalyName, what: string) => void found.push({ name, what });
  for (const [what, one] of Object.entries(checks)) {
    progress.begin(`checking ${what}`);
    one(index, report);
  }
  return found;
}

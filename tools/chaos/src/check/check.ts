import type { History } from "../history/history.ts";
import type { Anomaly, AnomalyName } from "./anomaly.ts";
import { checkDeadLetters } from "./dead-letters.ts";
import { checkFifo } from "./fifo.ts";
import { Indexed } from "./indexed.ts";
import { checkStays } from "./receiving.ts";
import { checkArrivals, checkDeliveries, checkEnds, checkRepeats } from "./sending.ts";
import { checkAcknowledgements, checkPauses, checkRemovals } from "./settling.ts";

/** One for each promise, or few that belong together. */
const checks = [
  checkArrivals,
  checkEnds,
  checkDeliveries,
  checkRepeats,
  checkStays,
  checkAcknowledgements,
  checkRemovals,
  checkPauses,
  checkDeadLetters,
  checkFifo,
];

/**
 * Everything that a history says against the promises of Sluice.
 *
 * What is unknown is held to have happened or not, whichever is the better excuse: what is reported is certain.
 */
export function check(history: History): Anomaly[] {
  const found: Anomaly[] = [];
  const index = new Indexed(history);
  const report = (name: AnomalyName, what: string) => void found.push({ name, what });
  for (const one of checks) one(index, report);
  return found;
}

import { MAX_ANSWER, type ReceivedSlice } from "@sluice/engine";

import type { Call } from "../environment.ts";

/**
 * Bytes of answers to receives that may be on their way in a process. Sixty clients that asked for messages of a
 * megabyte and read nothing held 900 MiB; one after the other they are now handed less, and in the end what one batch
 * has.
 */
const MAX_UNDER_WAY = 256 * 1024 * 1024;
/** Characters of an answer that are not worth a note: as many of these as there may be connections are no burden. */
const SMALL = 64 * 1024;

/** Of all servers of this process: they share its memory. */
let underWay = 0;

/**
 * How much a receive hands out now, in characters, of what it may. It is 1 when nothing is left: then it gets a batch
 * at most.
 */
export function roomFor(most = MAX_ANSWER): number {
  return Math.max(1, Math.min(most, MAX_UNDER_WAY - underWay));
}

/** Counts an answer until it is written or its client is gone. */
export function countUntilWritten({ env }: Pick<Call, "env">, { length }: { length: number }) {
  const { incoming, outgoing } = env ?? {};
  // Of a connection that is lost nobody is told again.
  if (!incoming || !outgoing || length < SMALL || incoming.socket.destroyed) return;
  underWay += length;
  outgoing.once("close", () => {
    underWay -= length;
  });
}

/** The characters of what was received. */
export function lengthOf(slices: readonly Pick<ReceivedSlice, "lines">[]): number {
  return slices.reduce((sum, { lines }) => lines.reduce((all, line) => all + line.length, sum), 0);
}

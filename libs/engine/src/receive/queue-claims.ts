import type { Sql } from "@sluice/database";

import type { Rounds } from "../rounds/rounds.ts";
import type { Claim } from "./claimed-slice.ts";
import type { FifoClaim } from "./claim-fifo.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import type { ScanFloor } from "./scan-floor.ts";
import type { Waiter } from "./waiter.ts";

/** How messages of one queue are claimed for the receives that wait: of standard queues, and of FIFO ones. */
export interface QueueClaims {
  claim: (call: ClaimCall) => Promise<Claim & Pick<Partial<FifoClaim>, "more" | "isBlind">>;
  /** This many messages of the queue were acknowledged here. */
  acknowledged: (messages: number) => void;
  /** Resolves when nothing is under way that a claim has left to be done. */
  ended: () => Promise<void>;
}

export interface ClaimCall {
  /** The receives that it is for: with one visibility timeout, and one of them where it has an attempt id. */
  group: readonly Waiter[];
  /** Messages that they ask for. */
  wanted: number;
  /** Called as a statement that claims begins, unless that was just before the call. */
  begins: () => void;
  /** Whether one of them has not gone away since. */
  isWaitedFor: () => boolean;
}

export interface QueueClaimsOptions {
  sql: Sql;
  waits: LockWaits;
  /** Claims of all queues of this process. */
  rounds: Rounds;
  queueId: string;
  account: string;
  name: string;
  /** Where claims start. */
  floor: ScanFloor;
  /** Told of messages that a claim moved to the dead-letter queue. */
  deadLettered: (letters: { queueId: string; messages: number }) => void;
  /** Told when something in the background failed; it is tried again. */
  failed: (what: string, error: unknown) => void;
}

import type { KnownFilter } from "../kinds.ts";

/*
 * What the clients saw, as the checker reads it. Times are nanoseconds of CLOCK_MONOTONIC, which all processes of one
 * host share, so calls of different processes can be compared.
 */

/** A message as its sender meant it; `value` names it, and stands in its body. */
export interface Sent {
  value: string;
  /** Of body and attributes. */
  digest: string;
  /** Seconds. */
  delay?: number;
  group?: string;
  deduplicationId?: string;
  /** The attribute that filter policies look at. */
  kind?: string;
}

/** A message as a receive brought it. */
export interface Delivered {
  value: string;
  id: string;
  digest: string;
  handle: string;
  count: number;
  /** Milliseconds since the epoch, by the clock of Postgres. */
  sentAt: number;
  /** Likewise. Within one stay in a queue it never changes, so it tells stays apart. */
  firstAt: number;
  group?: string;
  sequence?: string;
}

/** What each operation asked for and what it was answered when it succeeded. */
export interface Operations {
  publish: { request: Write & { topic: string }; response: Written[] };
  send: { request: Write & { queue: string }; response: Written[] };
  receive: { request: { queue: string; timeout?: number }; response: Delivered[] };
  acknowledge: { request: { queue: string; handles: string[] }; response: Settled[] };
  visibility: {
    request: {
      queue: string;
      /** `received` is false where nobody has seen the message, and its receive is not to count. */
      entries: { handle: string; timeout: number; received?: false }[];
    };
    response: Settled[];
  };
  purge: { request: { queue: string }; response: null };
  redrive: { request: { queue: string }; response: null };
  /** A look at the redrives of a queue: whether one runs. */
  redrives: { request: { queue: string }; response: { running: boolean } };
  pause: { request: { queue: string }; response: null };
  resume: { request: { queue: string }; response: null };
  cancel: { request: { queue: string; id: string }; response: null };
  subscribe: { request: { topic: string; queue: string }; response: null };
  unsubscribe: { request: { topic: string; queue: string }; response: null };
  /** Another filter policy for a subscription, told by the kinds that it accepts. */
  refilter: {
    request: { topic: string; queue: string; kinds: readonly string[] };
    response: null;
  };
  /** A request of somebody without a good access key, or one whose good key was refused. */
  knock: { request: { key: BadKey | "good" }; response: null };
}

/** Why somebody is not to be let in. */
export type BadKey = "none" | "made-up" | "wrong-secret" | "disabled" | "just-disabled";

interface Write {
  key?: string;
  messages: Sent[];
}

/** The id of a message that was stored, or the code of its refusal. */
export type Written = { id: string } | { code: string };
/** `ok`, or the code of a refusal. */
export type Settled = string;

export type OperationName = keyof Operations;

/**
 * One attempt of one call.
 *
 * - `ok`: answered with success, and the answer was read to its end
 * - `fail`: refused; it had no effect
 * - `unknown`: a timeout, a broken connection, a 5xx: it may have had its effect, or may still have it
 */
export type Call = { [Name in OperationName]: CallOf<Name> }[OperationName];

export interface CallOf<Name extends OperationName> {
  operation: Name;
  client: string;
  begin: number;
  /** Infinity when the outcome is unknown: its effect may come at any time. */
  end: number;
  outcome: "ok" | "fail" | "unknown";
  request: Operations[Name]["request"];
  /** Of an `ok` only. */
  response: Operations[Name]["response"] | undefined;
}

/** What the workload runs on; everything is made before the first call. */
export interface World {
  topics: { name: string; fifo?: boolean }[];
  queues: QueueOfWorld[];
  /** Those that are there from the beginning. */
  subscriptions: SubscriptionOfWorld[];
}

export interface SubscriptionOfWorld extends Partial<Readonly<KnownFilter>> {
  topic: string;
  queue: string;
}

export interface QueueOfWorld {
  name: string;
  fifo?: boolean;
  /** Seconds. */
  visibilityTimeout: number;
  /** Seconds. */
  delay?: number;
  /** Seconds. */
  retention?: number;
  deadLetterQueue?: string;
  maxReceiveCount?: number;
}

export interface History {
  world: World;
  /** Walked once. */
  calls: Iterable<Call>;
  /** Wall clock minus monotonic clock, ms: turns times of Postgres into times of the history. */
  wallOffsetMs: number;
  /** How long after its begin a call with an unknown outcome can still have its effect, ms; not said: for ever. */
  lateMs?: number;
  /** When faults were in force, each until everything was served again, ns; not said: nobody knows. */
  faults?: { begin: number; end: number }[];
  /** When the clock of Postgres jumped, in order. */
  jumps?: ClockJump[];
}

/** At some moment between the two, ns. */
export interface ClockJump {
  begin: number;
  end: number;
  /** By how many milliseconds it was put forward; negative where it was put back. */
  by: number;
}

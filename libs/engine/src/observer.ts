import type { QueueCounts } from "./ledger/count-messages.ts";

export interface QueueHolds {
  account: string;
  queue: string;
  counts: QueueCounts;
}

/** Told what happened, after it was committed; the server turns this into metrics. */
export interface Observer {
  published(messages: number): void;
  sent(messages: number): void;
  fannedOut(batches: number, deliveries: number): void;
  received(messages: number): void;
  acknowledged(messages: number): void;
  /** Moved to a dead-letter queue. */
  deadLettered(messages: number): void;
  /** Removed at the end of their retention. */
  expired(messages: number): void;
  purged(messages: number): void;
  /** Taken back while they were delayed. */
  cancelled(messages: number): void;
  /** Moved out of a dead-letter queue. */
  redriven(messages: number): void;
  /** Put into a queue again, out of the archive of a topic. */
  replayed(messages: number): void;
  /** Handed back at once, since the client that asked for them had gone. */
  released(messages: number): void;
  /** What the queues hold, again and again; none when there are too many of them. */
  queuesHold(queues: readonly QueueHolds[]): void;
  /**
   * For how long something has kept dead rows from being removed, in seconds; 0 when nothing does, undefined when
   * nobody knows.
   */
  horizonHeld(seconds: number | undefined): void;
  /** Age of the oldest batch that waits for its fan-out, in seconds; 0 when none does, undefined when nobody knows. */
  outboxWaits(seconds: number | undefined): void;
  /** A run of a duty of the dispatcher failed, which its log tells of, and will be tried again. */
  dutyFailed(duty: string): void;
  /** Something in the background failed and will be tried again. */
  failed(what: string, error: unknown): void;
}

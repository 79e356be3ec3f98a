/**
 * The nerve between processes: hints that make things happen soon. Nothing that matters exists here alone.
 *
 * Every message may be lost, doubled, late or out of order; Postgres holds the truth, and a slow poll or sweep
 * finds whatever a lost hint would have announced. So every method that sends is fire-and-forget and never throws
 * for a broken connection.
 */
export interface Bus {
  /** Announces committed batches that wait for their fan-out. One of the takers gets the hint. */
  announceBatches(batchIds: readonly string[]): void;
  /**
   * Takes announcements as work, shared with every other process that takes them. Announcements that arrive while
   * the handler runs are merged, so that its next call gets them as one set (at most {@link TakeOptions.maxBatches}).
   * A handler that rejects loses the hint: the sweeper owns the batches from then on.
   */
  takeBatches(
    handler: (batchIds: string[]) => Promise<void>,
    options?: TakeOptions,
  ): Promise<BusSubscription>;

  /** Tells every process that these queues have (or may soon have) visible messages. */
  signalQueues(queueIds: readonly string[]): void;
  onQueues(handler: (queueIds: string[]) => void): Promise<BusSubscription>;

  /** Tells every process to forget what it has cached about one topic or queue. */
  invalidate(change: Change): void;
  onChange(handler: (change: Change) => void): Promise<BusSubscription>;

  /** Calls back after a gap in which hints may have been missed: forget every cache, poll every queue. */
  onGap(handler: () => void): BusSubscription;

  /** Whether hints flow at this moment. */
  readonly connected: boolean;
  /** Which adapter this is, for health reports and logs. */
  readonly kind: "nats" | "in-process";
  /** Stops taking, lets running handlers finish, flushes what was sent, disconnects. */
  close(): Promise<void>;
}

export interface TakeOptions {
  /** Most batches handed to one call of the handler. Default 256. */
  maxBatches?: number;
}

export interface BusSubscription {
  /** Ends it and resolves when a handler call that was running has finished. */
  stop(): Promise<void>;
}

/** A topic, queue or the subscriptions of a topic changed. Accounts and ids are decimal strings. */
export interface Change {
  kind: "topic" | "queue" | "subscriptions";
  account: string;
  name: string;
}

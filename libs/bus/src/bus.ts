/**
 * The nerve between processes: hints that make things happen soon. Nothing that matters exists here alone.
 *
 * Every message may be lost, doubled, late or out of order; Postgres holds the truth, and a slow poll or sweep
 * finds whatever a lost hint would have announced. So every method that sends is fire-and-forget and never throws
 * for a broken connection.
 */
export interface Bus {
  /**
   * Announces committed batches that wait for their fan-out, by their ids (decimal strings, as all ids here). One of
   * the takers gets the hint. While the bus is disconnected it is dropped.
   */
  announceBatches(batchIds: readonly string[]): void;
  /**
   * Takes announcements as work, shared with every other process that takes them. Announcements that arrive while
   * the handler runs are merged, so that its next call gets them as one set (at most {@link TakeOptions.maxBatches}).
   * A handler that rejects loses the hint: the sweeper owns the batches from then on. Calls of one handler never
   * overlap. Resolves when what is announced from now on is taken.
   * @example
   * const taking = await bus.takeBatches((batchIds) => fanOut(batchIds), { maxBatches: 64 });
   */
  takeBatches(
    handler: (batchIds: string[]) => Promise<void>,
    options?: TakeOptions,
  ): Promise<BusSubscription>;

  /**
   * Tells every process, this one too, that these queues have (or may soon have) visible messages. While the bus is
   * disconnected only the handlers of this process are told.
   */
  signalQueues(queueIds: readonly string[]): void;
  /**
   * Resolves when what is signalled from now on arrives. The handler runs after the call that signalled, never in it.
   */
  onQueues(handler: (queueIds: string[]) => void): Promise<BusSubscription>;

  /**
   * Tells every process, this one too, to forget what it has cached about one topic or queue. While the bus is
   * disconnected only the handlers of this process are told: what is cached meanwhile can be out of date.
   */
  invalidate(change: Change): void;
  onChange(handler: (change: Change) => void): Promise<BusSubscription>;

  /**
   * Calls back at the end of a gap in which hints were missed, when they flow again: forget every cache, poll every
   * queue, sweep.
   */
  onGap(handler: () => void): BusSubscription;

  /** Whether hints flow at this moment. */
  readonly connected: boolean;
  /** Which adapter this is, for health reports and logs. */
  readonly kind: "nats" | "in-process";
  /** Stops taking, lets running handlers finish, flushes what was sent (2 s at most), disconnects. Never rejects. */
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

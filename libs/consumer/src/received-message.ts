import type { AttributeValue, WireAttributes } from "@sluice/client";

export interface ReleaseOptions {
  /**
   * Seconds until the message is visible again: 0 to 43,200, and no later than about 12 hours after it was received.
   * Default 0.
   */
  readonly delay?: number;
  /**
   * Why it could not be handled: kept with the message, shown by peek and with a dead letter. Shortened to 1,024
   * characters.
   */
  readonly reason?: string;
}

/** A message that this consumer holds until it is acknowledged, released or its visibility timeout passes. */
export interface ReceivedMessage<Payload> {
  /** The id that publishing returned, a UUIDv7. */
  readonly id: string;
  /** The body as it was sent. */
  readonly body: string;
  /** The body as the queue's declaration reads it. */
  readonly payload: Payload;
  /**
   * Attribute values: strings, numbers and bytes. A number beyond the precision of JavaScript's is exact in
   * `rawAttributes`.
   */
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /** Attributes with their types, labels and values as sent. */
  readonly rawAttributes: WireAttributes;
  readonly subject: string | undefined;
  readonly groupId: string | undefined;
  /** Of FIFO queues: what duplicates are known by. */
  readonly deduplicationId: string | undefined;
  /** Of FIFO queues: the order within the group, 20 digits. */
  readonly sequenceNumber: string | undefined;
  /**
   * How often the message has been received, this time included, but for what was given back before any handler saw it.
   */
  readonly receiveCount: number;
  readonly sentAt: Date;
  readonly firstReceivedAt: Date;
  /** Whether it came out of the archive of its topic; `sentAt` is then when it was published. */
  readonly replayed: boolean;
  /** Of a dead letter: why it is one. */
  readonly failureReason: string | undefined;
  /** The token of this receive. */
  readonly receiptHandle: string;
  /**
   * Aborts when other consumers can receive the message although it is being handled, or when stop() has waited for its
   * handler long enough. For work that must not go on then.
   *
   * Its reason is a SluiceError: `timeout` when the message was not extended in time (an outage; by the clock of this
   * process, counted from before the call was sent, so it is never late), `message_not_in_flight` when the server says
   * so, `visibility_beyond_limit` shortly before 12 hours from the receive are over, `aborted` of a consumer that
   * stops.
   */
  readonly signal: AbortSignal;

  /**
   * Removes the message for good and resolves when the server has done so. A handler that returns does this by itself.
   * It is repeated for as long as the message is held, unless the connection repeats nothing.
   *
   * The first of `ack()` and `release()` counts, and later ones come to what that comes to; when it fails and its error
   * is `retryable`, the next one is another try. Throws `receipt_handle_expired` when the message has been received
   * again since, `aborted` when stop() has given it back. With `outcomeUnknown` it came so late that either can be: an
   * attempt before it whose answer was lost may have been in time.
   */
  ack(): Promise<void>;

  /**
   * Makes the message visible again, after that many seconds if told so, with a reason if there is one. It is repeated
   * for as long as the message is held, unless the connection repeats nothing.
   *
   * Where that fails, the message is visible again when its visibility timeout is over, whether the handler returns or
   * throws then: only another `ack()` acknowledges it. Throws `message_not_in_flight` when it is visible already,
   * `visibility_beyond_limit` when the message has been hidden for 12 hours, `invalid_request` when an option is not
   * what it is to be: then the message is held as before.
   */
  release(options?: number | ReleaseOptions): Promise<void>;

  /**
   * Hides the message for that many seconds from now (1 to 43,200), for work that keeps this process from extending it;
   * near the end of that it is extended by itself again. Seldom needed. Nothing is hidden for longer than 12 hours from
   * its receive. Throws `invalid_request` for what is no such number: then the message is held as before.
   */
  extend(seconds: number): Promise<void>;
}

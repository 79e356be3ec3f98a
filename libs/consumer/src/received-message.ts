import type { AttributeValue, WireAttributes } from "@sluice/client";

/** A message that this consumer holds until it is acknowledged, released or its visibility timeout passes. */
export interface ReceivedMessage<Payload> {
  /** The id that publishing returned, a UUIDv7. */
  readonly id: string;
  /** The body as it was sent. */
  readonly body: string;
  /** The body as the queue's declaration reads it. */
  readonly payload: Payload;
  /** Attribute values: strings, numbers and bytes. A number beyond the precision of JavaScript's is exact in `rawAttributes`. */
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /** Attributes with their types, labels and values as sent. */
  readonly rawAttributes: WireAttributes;
  readonly subject: string | undefined;
  readonly groupId: string | undefined;
  /** Of FIFO queues: what duplicates are known by. */
  readonly deduplicationId: string | undefined;
  /** Of FIFO queues: the order within the group, 20 digits. */
  readonly sequenceNumber: string | undefined;
  /** How often the message has been received, this time included. */
  readonly receiveCount: number;
  readonly sentAt: Date;
  readonly firstReceivedAt: Date;
  /** The token of this receive. */
  readonly receiptHandle: string;
  /**
   * Aborts when other consumers can receive the message although it is being handled (an outage kept it from being
   * extended), or when stop() has waited for its handler long enough. For work that must not go on then.
   */
  readonly signal: AbortSignal;

  /**
   * Removes the message for good and resolves when the server has done so. A handler that returns does this by itself.
   *
   * The first of `ack()` and `release()` counts, later ones do nothing. Throws `receipt_handle_expired` when another
   * consumer has received the message since.
   */
  ack(): Promise<void>;

  /** Makes the message visible again after that many seconds (0 to 43,200, default 0). Throws `message_not_in_flight` when it is so already. */
  release(delaySeconds?: number): Promise<void>;

  /** Hides the message for that many seconds from now (1 to 43,200). Seldom needed: held messages are extended by themselves. */
  extend(seconds: number): Promise<void>;
}

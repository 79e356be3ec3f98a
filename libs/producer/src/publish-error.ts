import { SluiceError } from "@sluice/client";

/** A message that is stored: durable when this is returned. */
export interface PublishedMessage {
  /** The message's id, a UUIDv7; consumers see the same one. */
  readonly messageId: string;
  /** Of FIFO topics and queues: the order within the group, 20 digits. */
  readonly sequenceNumber?: string;
}

/** What became of one message. */
export type PublishResult =
  | (PublishedMessage & { readonly error?: undefined })
  | { readonly messageId?: undefined; readonly error: SluiceError };

const maxDetails = 10;

/**
 * Some of the messages of a `publishAll` or `sendAll`, or all of them, were refused, or a call failed after others had
 * stored some (code `publish_failed`).
 *
 * @example
 * ```ts
 * catch (error) {
 *   if (!(error instanceof PublishError)) throw error;
 *   const again = payloads.filter((_, index) => error.results[index]?.error?.retryable);
 * }
 * ```
 */
export class PublishError extends SluiceError {
  override readonly name = "PublishError";
  /**
   * One result a message, in the order given. An error whose `outcomeUnknown` is true leaves open whether that message
   * was stored; every other says that it was not.
   */
  readonly results: readonly PublishResult[];

  constructor(results: readonly PublishResult[], cause?: SluiceError) {
    const failures = results.flatMap(({ error }, index) => (error ? [{ index, error }] : []));
    const first = failures[0]?.error;
    const message = `${failures.length} of ${results.length} messages failed, the first with ${first?.code}: ${first?.message}`;
    const details = failures.slice(0, maxDetails).map(({ index, error }) => ({
      path: `payloads.${index}`,
      message: `${error.code}: ${error.message}`,
    }));
    const outcomeUnknown = failures.some(({ error }) => error.outcomeUnknown);
    super("publish_failed", message, { details, cause, outcomeUnknown, call: first?.call });
    this.results = results;
  }
}

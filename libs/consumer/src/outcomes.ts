import { invalidOption, isPromise, sayingOf } from "@sluice/client/internal";
import type { Failures, Refused } from "./failures.ts";
import type { HeldMessage } from "./held-message.ts";
import { exponentialBackoff } from "./options.ts";
import type { Settlements } from "./settlements.ts";

/** What follows from how handling went: acknowledge, or report and release for another try. */
export class Outcomes {
  readonly #settlements: Settlements;
  readonly #failures: Failures;
  readonly #backoff: (receiveCount: number) => number;

  constructor(
    settlements: Settlements,
    failures: Failures,
    backoff: (receiveCount: number) => number,
  ) {
    this.#settlements = settlements;
    this.#failures = failures;
    this.#backoff = backoff;
  }

  /**
   * Acknowledges, unless the handler has settled the message itself, and that did not fail. What it failed to release
   * comes again by itself: it has not been handled.
   */
  succeeded(message: HeldMessage): void {
    if (message.settle()) this.#settlements.ack(message);
    else if (!message.released && message.reopen()) this.#settlements.ack(message, { again: true });
  }

  /** Acknowledges what the batch's handler has not settled itself; resolves when the server has answered. */
  async batchSucceeded(messages: readonly HeldMessage[]): Promise<void> {
    const settled = messages.filter((message) => {
      if (message.settle()) return true;
      this.succeeded(message);
      return false;
    });
    if (settled.length > 0) await this.#settlements.ackBatch(settled);
  }

  /**
   * Whether this consumer has handled it before, and only the acknowledgement came too late. Then it is acknowledged by
   * the handle of this receive.
   */
  isHandled(message: HeldMessage): boolean {
    if (message.receiveCount === 1 || !this.#settlements.late.hasHandled(message)) return false;
    this.succeeded(message);
    return true;
  }

  failed(error: unknown, messages: readonly HeldMessage[]): void {
    this.#failures.handler(error, messages);
    for (const message of messages) this.#retryLater(message, error);
  }

  /**
   * A body that is not what the queue is declared to carry: redelivered, so that it goes the way of every poison
   * message.
   */
  undecodable(refused: readonly Refused[]): void {
    this.#failures.entries("decode", refused);
    for (const { message, error } of refused) this.#retryLater(message, error);
  }

  /**
   * Gives back what no handler has seen: it comes again as if it had not been received, and is no nearer to the
   * dead-letter queue. That is worth a try also when its time is over, by the clock of this process.
   */
  unhandled(messages: readonly HeldMessage[]): void {
    for (const message of messages) {
      if (this.isHandled(message)) continue;
      const isLate = !message.isSafe;
      if (message.settle()) this.#settlements.giveBack(message, { isLate });
    }
  }

  /** Gives back what is still being handled when nobody waits for that any longer. */
  abandoned(messages: readonly HeldMessage[]): void {
    for (const message of messages) {
      if (message.settle() && !message.lost) this.#settlements.release(message, {});
    }
  }

  #retryLater(message: HeldMessage, error: unknown): void {
    if (!message.settle() || message.lost) return; // a lost one is visible already
    const delay = this.#delay(message.receiveCount);
    this.#settlements.release(message, { delay, reason: sayingOf(error) });
  }

  #delay(receiveCount: number): number {
    try {
      const delay: unknown = this.#backoff(receiveCount);
      if (typeof delay === "number") return delay;
      // That of an asynchronous function, for which nobody waits.
      if (isPromise(delay)) Promise.resolve(delay).catch(() => {});
      throw invalidOption("backoff", `expected it to return seconds, got ${typeof delay}`);
    } catch (error) {
      this.#failures.handler(error, []);
      return exponentialBackoff(receiveCount);
    }
  }
}

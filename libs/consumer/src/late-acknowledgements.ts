import type { Coalescer } from "@sluice/client/internal";
import { HandledMessages } from "./handled-messages.ts";
import type { HeldMessage } from "./held-message.ts";
import type { WaitingBatches } from "./waiting-batches.ts";
import { within } from "./within.ts";

/**
 * How long a receive waits for acknowledgements that come too late, from when they were sent, in ms. They take
 * milliseconds; whether the server is away is for the receive itself to find out.
 */
const lateLimitMs = 2_000;

/** Acknowledgements that have gone out and are not answered yet. */
export interface UnderWay {
  /** Those whose handlers have returned: the others wait for the answer themselves. */
  readonly handled: readonly HeldMessage[];
  readonly sentAt: number;
  /** From then on the first of them can be received again. */
  readonly heldUntil: number;
  /** Of a call of their own; what goes with a receive may wait for long. */
  answered?: Promise<void>;
}

/** What waits to be sent. */
export interface Unsent {
  /** With a waiter it is its handler that acknowledges, and that has not returned. */
  readonly single: Pick<
    Coalescer<{ readonly message: HeldMessage; readonly waiter?: unknown }>,
    "some" | "flush"
  >;
  readonly batches: Pick<WaitingBatches, "some" | "send">;
}

/**
 * Knows what was handled and perhaps not acknowledged in time, so that this consumer does not handle it twice: others
 * may have such a message, and so may the next receive of this one. An acknowledgement of it can be
 *
 * - unsent: then it goes before the next receive,
 * - under way: then the next receive waits for its answer, but not for long,
 * - refused: then it is repeated by the handle of the receive that brings the message again.
 */
export class LateAcknowledgements {
  readonly #unsent: Unsent;
  readonly #underWay = new Set<UnderWay>();
  readonly #refused = new HandledMessages();

  constructor(unsent: Unsent) {
    this.#unsent = unsent;
  }

  /**
   * Whether this consumer has handled it before, and acknowledged that too late for the message not to come again. To
   * be asked of messages that have been received before.
   */
  hasHandled(message: HeldMessage): boolean {
    if (this.#refused.take(message)) return true;
    const now = performance.now();
    const isSame = (other: HeldMessage) =>
      other.id === message.id && other.receipt.firstReceivedAt === message.receipt.firstReceivedAt;
    const isLate = (other: HeldMessage) => other.lease.heldUntil <= now && isSame(other);
    for (const { handled, heldUntil } of this.#underWay)
      if (heldUntil <= now && handled.some(isSame)) return true;
    const { single, batches } = this.#unsent;
    return (
      single.some(({ message: other, waiter }) => waiter === undefined && isLate(other)) ||
      batches.some(isLate)
    );
  }

  /**
   * Sends acknowledgements of messages that others may have by now. Resolves when they are answered, soon in any case:
   * a receive waits for that, or it could bring them again. Undefined when there are none, nearly always.
   */
  send(): Promise<unknown> | undefined {
    const now = performance.now();
    const isLate = (message: HeldMessage) => message.lease.heldUntil <= now;
    const { single, batches } = this.#unsent;
    const answers: Promise<void>[] = [];
    let limitMs = 0;
    if (single.some(({ message }) => isLate(message))) {
      answers.push(single.flush());
      limitMs = lateLimitMs;
    }
    if (batches.some(isLate)) batches.send();
    for (const { answered, heldUntil, sentAt } of this.#underWay) {
      const leftMs = sentAt + lateLimitMs - now;
      if (answered === undefined || heldUntil > now || leftMs <= 0) continue;
      answers.push(answered);
      limitMs = Math.max(limitMs, leftMs);
    }
    return answers.length === 0 ? undefined : within(limitMs, Promise.all(answers));
  }

  /** Notes that acknowledgements go out. */
  begin(handled: readonly HeldMessage[]): UnderWay {
    let heldUntil = Infinity;
    for (const { lease } of handled) heldUntil = Math.min(heldUntil, lease.heldUntil);
    const sent = { handled, heldUntil, sentAt: performance.now() };
    this.#underWay.add(sent);
    return sent;
  }

  /** Notes that they were answered, or go again as others. */
  end(sent: UnderWay): void {
    this.#underWay.delete(sent);
  }

  /** Notes that a message was handled and not acknowledged. */
  refused(message: HeldMessage): void {
    this.#refused.add(message);
  }
}

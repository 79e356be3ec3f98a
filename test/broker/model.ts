/** What a queue promises of one delivery, without tables, leases or slices. */
interface Delivery {
  body: string;
  /** Seconds on the model's clock. */
  visibleAt: number;
  receiveCount: number;
  /** The handle of its latest receive. */
  handle: string | undefined;
}

export interface Counts {
  visible: number;
  inFlight: number;
  delayed: number;
}

/**
 * One queue as LIMITS and the invariants describe it: the whole truth the test compares the real one with.
 *
 * Its clock only goes on when the test says so. Timeouts and steps are chosen so that no deadline is ever within
 * half a minute of the present: the real time that a run takes then changes nothing.
 */
export class ModelQueue {
  readonly #deliveries = new Map<string, Delivery>();

  add(messageId: string, body: string, visibleAt: number): void {
    this.#deliveries.set(messageId, { body, visibleAt, receiveCount: 0, handle: undefined });
  }

  visible(now: number): string[] {
    return [...this.#deliveries].flatMap(([id, { visibleAt }]) => (visibleAt <= now ? [id] : []));
  }

  /** Takes note of a receive; throws when the message must not have been handed out. */
  received(
    message: { messageId: string; body: string; receiveCount: number; handle: string },
    now: number,
    visibleAt: number,
  ): void {
    const delivery = this.#deliveries.get(message.messageId);
    if (!delivery) throw new Error(`${message.body} was acknowledged, or never in this queue`);
    if (delivery.visibleAt > now) throw new Error(`${message.body} is held by somebody else`);
    if (delivery.body !== message.body) throw new Error(`${message.body} was ${delivery.body}`);
    delivery.receiveCount += 1;
    if (delivery.receiveCount !== message.receiveCount) {
      throw new Error(
        `${message.body}: receive ${delivery.receiveCount} says ${message.receiveCount}`,
      );
    }
    delivery.handle = message.handle;
    delivery.visibleAt = visibleAt;
  }

  acknowledge(messageId: string, handle: string): "ok" | "receipt_handle_expired" {
    if (this.#deliveries.get(messageId)?.handle !== handle) return "receipt_handle_expired";
    this.#deliveries.delete(messageId);
    return "ok";
  }

  hide(
    messageId: string,
    handle: string,
    { now, visibleAt }: { now: number; visibleAt: number },
  ): "ok" | "message_not_in_flight" {
    const delivery = this.#deliveries.get(messageId);
    if (delivery?.handle !== handle || delivery.visibleAt <= now) return "message_not_in_flight";
    delivery.visibleAt = visibleAt;
    return "ok";
  }

  counts(now: number): Counts {
    const counts: Counts = { visible: 0, inFlight: 0, delayed: 0 };
    for (const { visibleAt, receiveCount } of this.#deliveries.values()) {
      if (visibleAt <= now) counts.visible += 1;
      else if (receiveCount > 0) counts.inFlight += 1;
      else counts.delayed += 1;
    }
    return counts;
  }
}

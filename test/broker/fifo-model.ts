import type { Counts } from "./model/model-queue.ts";

interface Delivery {
  messageId: string;
  body: string;
  /** Seconds on the model's clock. */
  visibleAt: number;
  receiveCount: number;
  /** The handle of its latest receive. */
  handle: string | undefined;
}

/** What a receive is told of a message. */
interface Handed {
  messageId: string;
  body: string;
  groupId?: string;
  receiveCount: number;
  handle: string;
}

/** A FIFO queue as LIMITS and the invariants describe it; its clock is as that of ModelQueue. */
export class ModelFifo {
  readonly #groups = new Map<string, Delivery[]>();

  add(groupId: string, messageId: string, body: string, now: number): void {
    const delivery = { messageId, body, visibleAt: now, receiveCount: 0, handle: undefined };
    const group = this.#groups.get(groupId);
    if (group) group.push(delivery);
    else this.#groups.set(groupId, [delivery]);
  }

  /** Groups of which something may be handed out. */
  available(now: number): string[] {
    return [...this.#groups].flatMap(([id, group]) =>
      group.length > 0 && group.every((each) => each.visibleAt <= now) ? [id] : [],
    );
  }

  /** Takes note of what a receive got; throws when it must not have been handed out, or not in this order. */
  received(messages: readonly Handed[], now: number, visibleAt: number): void {
    for (const groupId of new Set(messages.map((message) => message.groupId ?? ""))) {
      if (!this.available(now).includes(groupId)) throw new Error(`${groupId} is in other hands`);
      const handed = messages.filter((message) => message.groupId === groupId);
      handed.forEach((message, index) => {
        const delivery = this.#groups.get(groupId)?.[index];
        if (delivery?.messageId !== message.messageId || delivery.body !== message.body) {
          throw new Error(`${message.body} was handed out instead of ${delivery?.body}`);
        }
        delivery.receiveCount += 1;
        if (delivery.receiveCount !== message.receiveCount)
          throw new Error(`${message.body} says ${message.receiveCount}`);
        delivery.handle = message.handle;
        delivery.visibleAt = visibleAt;
      });
    }
  }

  acknowledge({ groupId = "", messageId, handle }: Handed): "ok" | "receipt_handle_expired" {
    const group = this.#groups.get(groupId) ?? [];
    const index = group.findIndex((each) => each.messageId === messageId && each.handle === handle);
    if (index < 0) return "receipt_handle_expired";
    group.splice(index, 1);
    return "ok";
  }

  hide(
    { groupId = "", messageId, handle }: Handed,
    { now, visibleAt, received }: { now: number; visibleAt: number; received: boolean },
  ): "ok" | "message_not_in_flight" {
    const delivery = this.#groups.get(groupId)?.find((each) => each.messageId === messageId);
    if (delivery?.handle !== handle || (delivery.visibleAt <= now && received))
      return "message_not_in_flight";
    delivery.visibleAt = visibleAt;
    if (!received) {
      delivery.receiveCount -= 1;
      delivery.handle = undefined;
    }
    return "ok";
  }

  counts(now: number): Counts {
    const counts: Counts = { visible: 0, inFlight: 0, delayed: 0 };
    for (const { visibleAt } of [...this.#groups.values()].flat()) {
      if (visibleAt <= now) counts.visible += 1;
      else counts.inFlight += 1;
    }
    return counts;
  }
}

/** What a queue promises of one delivery, without tables, leases or slices. Times are seconds on the model's clock. */
export interface Delivery {
  readonly messageId: string;
  readonly body: string;
  readonly groupId: string | undefined;
  readonly sentAt: number;
  visibleAt: number;
  receivedAt: number;
  receiveCount: number;
  /** The handle of its latest receive. */
  handle: string | undefined;
  /** Of a dead letter: the queue that it came from. */
  source: ModelQueue | undefined;
  /** How it left its queue; undefined while it is there. */
  end: End | undefined;
}

export type End = "acknowledged" | "deadLettered" | "redriven" | "expired" | "purged" | "cancelled";

export interface ModelSettings {
  name: string;
  fifo: boolean;
  /** Seconds. */
  retention: number;
  /** Where a delivery goes that would be received more often. */
  redrive?: { to: ModelQueue; maxReceiveCount: number };
}

export type State = "visible" | "inFlight" | "delayed";
export type Counts = Record<State, number>;

/** A message as a receive returned it. */
export interface Received {
  messageId: string;
  body: string;
  receiveCount: number;
  handle: string;
}

/**
 * What becomes of a call about a message that its holder held past its retention: it depends on whether the clean-up
 * was there.
 */
export const EITHER_WAY = "either way";

const TWELVE_HOURS = 43_200;
const DEDUPLICATION_WINDOW = 300;

/**
 * One queue as LIMITS and the invariants describe it: the whole truth the test compares the real one with.
 *
 * Its clock only goes on when the test says so. Timeouts and steps are chosen so that no deadline is ever within
 * half a minute of the present: the real time that a run takes then changes nothing.
 */
export class ModelQueue {
  readonly settings: ModelSettings;
  paused = false;
  /** In order of commit, which is the order of delivery inside a group. */
  #deliveries: Delivery[] = [];
  /** All that ever were. */
  readonly #ever: Delivery[] = [];
  readonly #accepted = new Map<string, { messageId: string; at: number }>();

  constructor(settings: ModelSettings) {
    this.settings = settings;
  }

  get all(): readonly Delivery[] {
    return this.#deliveries;
  }

  get ever(): readonly Delivery[] {
    return this.#ever;
  }

  find(messageId: string): Delivery | undefined {
    return this.#deliveries.find((delivery) => delivery.messageId === messageId);
  }

  /** A message that was stored; also a dead letter or a redriven one. */
  add(
    message: { messageId: string; body: string; groupId?: string | undefined; sentAt: number },
    visibleAt: number,
  ): void {
    const { messageId, body, groupId, sentAt } = message;
    const delivery: Delivery = {
      messageId,
      body,
      groupId,
      sentAt,
      visibleAt,
      receivedAt: 0,
      receiveCount: 0,
      handle: undefined,
      source: undefined,
      end: undefined,
    };
    this.#deliveries.push(delivery);
    this.#ever.push(delivery);
  }

  #remove(end: End, leaves: (delivery: Delivery) => boolean): void {
    this.#deliveries = this.#deliveries.filter((delivery) => {
      if (!leaves(delivery)) return true;
      delivery.end = end;
      return false;
    });
  }

  /** The message that one with this deduplication id is a duplicate of. */
  duplicateOf(id: string, now: number): string | undefined {
    const first = this.#accepted.get(id);
    return first && now - first.at < DEDUPLICATION_WINDOW ? first.messageId : undefined;
  }

  accept(id: string, messageId: string, now: number): void {
    this.#accepted.set(id, { messageId, at: now });
  }

  /** Drops what is past its retention. */
  expire(now: number): void {
    this.#remove("expired", ({ sentAt }) => now - sentAt >= this.settings.retention);
  }

  isExhausted(delivery: Delivery): boolean {
    const { redrive } = this.settings;
    return redrive !== undefined && delivery.receiveCount >= redrive.maxReceiveCount;
  }

  /** What a receive may hand out next, once exhausted messages are out of the way. */
  receivable(now: number): Delivery[] {
    if (this.paused) return [];
    const living = this.#deliveries.filter(
      (delivery) => delivery.visibleAt > now || !this.isExhausted(delivery),
    );
    if (!this.settings.fifo) return living.filter(({ visibleAt }) => visibleAt <= now);
    return groupsOf(living).flatMap((group) => {
      if (group.some((delivery) => stateOf(delivery, now) === "inFlight")) return [];
      const blocked = group.findIndex(({ visibleAt }) => visibleAt > now);
      return blocked < 0 ? group : group.slice(0, blocked);
    });
  }

  /** Takes note of what one receive was given; throws when it must not have been given that. */
  received(messages: readonly Received[], now: number, timeout: number): void {
    const receivable = this.receivable(now);
    for (const { messageId, body } of messages) {
      const delivery = this.find(messageId);
      if (!delivery) throw new Error(`${body} was acknowledged, or never in this queue`);
      if (delivery.body !== body) throw new Error(`${body} was ${delivery.body}`);
      if (!receivable.includes(delivery)) throw new Error(`${body} must not be handed out now`);
    }
    if (this.settings.fifo) expectInOrder(messages, receivable);
    for (const { messageId, body, receiveCount, handle } of messages) {
      const delivery = this.find(messageId) as Delivery;
      delivery.receiveCount += 1;
      if (delivery.receiveCount !== receiveCount) {
        throw new Error(`${body}: receive ${delivery.receiveCount} says ${receiveCount}`);
      }
      delivery.handle = handle;
      delivery.visibleAt = now + timeout;
      delivery.receivedAt = now;
    }
  }

  #hasExpired(messageId: string, handle: string): boolean {
    return this.#ever.some(
      (delivery) =>
        delivery.messageId === messageId &&
        delivery.handle === handle &&
        delivery.end === "expired",
    );
  }

  acknowledge(messageId: string, handle: string): string {
    if (this.#hasExpired(messageId, handle)) return EITHER_WAY;
    if (this.find(messageId)?.handle !== handle) return "receipt_handle_expired";
    this.#remove("acknowledged", (delivery) => delivery.messageId === messageId);
    return "ok";
  }

  hide(
    messageId: string,
    handle: string,
    change: { now: number; timeout: number; received?: boolean },
  ): string {
    if (this.#hasExpired(messageId, handle)) return EITHER_WAY;
    const delivery = this.find(messageId);
    const unseen = change.received === false;
    if (delivery?.handle !== handle || (delivery.visibleAt <= change.now && !unseen))
      return "message_not_in_flight";
    if (change.now + change.timeout > delivery.receivedAt + TWELVE_HOURS)
      return "visibility_beyond_limit";
    delivery.visibleAt = change.now + change.timeout;
    if (unseen) {
      delivery.receiveCount -= 1;
      delivery.handle = undefined;
    }
    return "ok";
  }

  cancel(messageId: string, now: number): boolean {
    const delivery = this.find(messageId);
    if (!delivery || stateOf(delivery, now) !== "delayed") return false;
    this.#remove("cancelled", (other) => other === delivery);
    return true;
  }

  purge(): void {
    this.#remove("purged", () => true);
  }

  /** Takes note of a message that was seen in the dead-letter queue; throws when it must not be there. */
  bury(messageId: string, now: number): void {
    const delivery = this.find(messageId);
    if (!delivery) throw new Error(`${messageId} is a dead letter, but was not in its source`);
    if (delivery.visibleAt > now || !this.isExhausted(delivery))
      throw new Error(`${delivery.body} is a dead letter after ${delivery.receiveCount} receives`);
    this.#remove("deadLettered", (other) => other === delivery);
    const to = this.settings.redrive?.to as ModelQueue;
    // As in SQS: what comes to a FIFO queue is kept for as long as what is sent then.
    to.add({ ...delivery, sentAt: this.settings.fifo ? now : delivery.sentAt }, now);
    (to.find(messageId) as Delivery).source = this;
  }

  /**
   * Moves what is visible to where it came from, or to one queue; what has nowhere to go stays, and so does a group
   * with a message in flight.
   */
  redrive(destination: ModelQueue | undefined, now: number): void {
    const held = new Set(
      this.#deliveries
        .filter((delivery) => this.settings.fifo && stateOf(delivery, now) === "inFlight")
        .map(({ groupId }) => groupId),
    );
    const moved = this.#deliveries.filter(
      ({ visibleAt, groupId, source }) =>
        visibleAt <= now && !held.has(groupId ?? "") && (destination ?? source) !== undefined,
    );
    this.#remove("redriven", (delivery) => moved.includes(delivery));
    for (const delivery of moved)
      (destination ?? delivery.source)?.add({ ...delivery, sentAt: now }, now);
  }

  counts(now: number): Counts {
    const counts = { visible: 0, inFlight: 0, delayed: 0 };
    for (const delivery of this.#deliveries) counts[stateOf(delivery, now)] += 1;
    return counts;
  }
}

export function stateOf({ visibleAt, receiveCount }: Delivery, now: number): State {
  if (visibleAt <= now) return "visible";
  return receiveCount > 0 ? "inFlight" : "delayed";
}

function groupsOf(deliveries: readonly Delivery[]): Delivery[][] {
  const groups = new Map<string, Delivery[]>();
  for (const delivery of deliveries) {
    const group = groups.get(delivery.groupId ?? "") ?? [];
    group.push(delivery);
    groups.set(delivery.groupId ?? "", group);
  }
  return [...groups.values()];
}

/** Of each group, the messages handed out are its first ones, in order. */
function expectInOrder(messages: readonly Received[], receivable: readonly Delivery[]): void {
  for (const group of groupsOf(receivable)) {
    const ids = group.map(({ messageId }) => messageId);
    const handed = messages.filter(({ messageId }) => ids.includes(messageId));
    handed.forEach(({ messageId, body }, index) => {
      if (messageId !== ids[index])
        throw new Error(`${body} of group ${group[0]?.groupId} came before ${group[index]?.body}`);
    });
  }
}

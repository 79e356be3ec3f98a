import type { SluiceError } from "@sluice/client";
import type { HeldMessage, Holder } from "./held-message.ts";

/** No message is hidden for longer than 12 hours from its receive, however often it is extended … */
const limitMs = 43_200_000;
/** … by the server's clock, which began to count before its answer arrived here. */
const marginMs = 10_000;

interface Term {
  dueAt: number;
  heldUntil: number;
  endsAt: number;
}

/**
 * The messages of one receive that are still held. They share their times, so that a lease costs nothing per message.
 * Times are by the clock of this process, which no server and no other machine has a say in.
 */
export class Lease {
  /** When it is extended; Infinity: it is not. */
  dueAt: number;
  /**
   * From then on others may have what it holds, and what it held when that was settled: its time counts from before the
   * call was sent that began or extended it.
   */
  heldUntil: number;
  /** When it cannot be extended any more. */
  readonly endsAt: number;
  readonly holder: Holder;
  messages: HeldMessage[] = [];
  /** The extension that is under way. */
  extending: Promise<unknown> | undefined;
  #open = 0;

  constructor({ dueAt, heldUntil, endsAt }: Term, holder: Holder) {
    this.dueAt = dueAt;
    this.heldUntil = heldUntil;
    this.endsAt = endsAt;
    this.holder = holder;
  }

  /** The most seconds for which its messages can still be hidden. */
  get secondsLeft(): number {
    return Math.max(0, Math.floor((this.endsAt - performance.now()) / 1000));
  }

  get open(): boolean {
    return this.#open > 0;
  }

  add(message: HeldMessage): void {
    this.messages.push(message);
    this.#open++;
  }

  /**
   * Holds what is held now for longer. What has been settled since the last time leaves it, for a lease that stays as
   * it was: nobody has extended that. Done here it costs nothing where a message is settled.
   */
  extendTo(heldUntil: number): void {
    if (!this.open) return;
    const held = stillHeld(this);
    if (held.length < this.messages.length) {
      const before = new Lease(this, this.holder);
      for (const message of this.messages) message.leave(this, before);
      this.messages = held;
    }
    this.heldUntil = heldUntil;
  }

  /** One message less to extend. With the last one goes the memory, long before the lease is due. */
  close(): void {
    if (--this.#open === 0) this.messages = [];
  }
}

export interface LeaseOptions {
  /** How long an extension holds, in milliseconds. */
  readonly termMs: number;
  /** False: leases end when they do. */
  readonly autoExtend: boolean;
  /** Hides the messages for so long from now; false when that failed. */
  readonly extend: (messages: readonly HeldMessage[], seconds: number) => Promise<boolean>;
  /** Told of messages that have been hidden for as long as any can be. */
  readonly expire: (messages: readonly HeldMessage[]) => void;
  /** Told of messages that others may have: they were not extended in time. */
  readonly lapse: (messages: readonly HeldMessage[]) => void;
}

/**
 * Extends what is held at half of its visibility timeout: one timer and, for all that is due together, one call.
 * Extensions end 12 hours after the receive: the last one is shorter.
 */
export class Leases {
  #leases: Lease[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wakesAt = Infinity;
  #stopped = false;
  #sweepAt = 64;
  readonly #options: LeaseOptions;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  /** Begins a lease for messages that are hidden from others since then, or later; they are added right after. */
  begin(holder: Holder, heldFrom: number): Lease {
    const { termMs } = this.#options;
    const heldUntil = heldFrom + termMs;
    const endsAt = heldFrom + limitMs - marginMs;
    return this.#add(new Lease({ dueAt: heldFrom + termMs / 2, heldUntil, endsAt }, holder));
  }

  /**
   * Hides a message for a time of its own, by the call given. Meanwhile it is not extended, and what is under way is
   * waited for: either could come after the call and take it back.
   */
  async hide(
    message: HeldMessage,
    seconds: number,
    call: (onRetry: () => void) => Promise<void>,
  ): Promise<void> {
    while (message.lease.extending !== undefined) await message.lease.extending;
    const lease = this.keep(message);
    const began = performance.now();
    let sentAt = began;
    try {
      await call(() => (sentAt = performance.now()));
      lease.heldUntil = sentAt + seconds * 1000;
      lease.dueAt = lease.heldUntil - Math.min(seconds * 1000, this.#options.termMs) / 2;
    } catch (error) {
      if ((error as SluiceError).outcomeUnknown)
        lease.heldUntil = Math.min(lease.heldUntil, began + seconds * 1000);
      lease.dueAt = performance.now();
      throw error;
    } finally {
      this.#wakeFor(lease);
    }
  }

  /** Takes a message out of what is extended: a lease of its own holds it for as long as it is held by now. */
  keep(message: HeldMessage): Lease {
    const { heldUntil, endsAt, holder } = message.lease;
    const own = new Lease({ dueAt: Infinity, heldUntil, endsAt }, holder);
    message.moveTo(own);
    return this.#add(own);
  }

  /** Ends a lease whose time is over: others may have what it holds. */
  lapse(lease: Lease): void {
    this.#options.lapse(stillHeld(lease));
  }

  /** How many leases are remembered, done ones included. */
  get size(): number {
    return this.#leases.length;
  }

  /** Every message that is held. */
  held(): HeldMessage[] {
    return this.#leases.flatMap(stillHeld);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #add(lease: Lease): Lease {
    if (this.#leases.length >= this.#sweepAt) this.#sweep();
    this.#leases.push(lease);
    this.#wakeFor(lease);
    return lease;
  }

  /** Drops the leases that are done. At a doubling bound, so that a lease costs the same however long its term is. */
  #sweep(): void {
    this.#leases = this.#leases.filter((lease) => lease.open);
    this.#sweepAt = Math.max(64, 2 * this.#leases.length);
  }

  /** When there is something to do for a lease. */
  #wakeTime({ dueAt, heldUntil }: Lease): number {
    return this.#options.autoExtend ? Math.min(dueAt, heldUntil) : heldUntil;
  }

  #wakeFor(lease: Lease): void {
    const at = this.#wakeTime(lease);
    if (this.#stopped || (this.#timer !== undefined && this.#wakesAt <= at)) return;
    clearTimeout(this.#timer);
    this.#wakesAt = at;
    this.#timer = setTimeout(() => this.#wake(), Math.max(0, at - performance.now()));
  }

  #wake(): void {
    this.#timer = undefined;
    this.#sweep();
    const { termMs, autoExtend } = this.#options;
    const now = performance.now();
    const lapsed: Lease[] = [];
    const due = new Map<number, Lease[]>();
    for (const lease of this.#leases) {
      // A little early for those due next, so that receives close to each other are extended by one call.
      const isDue = autoExtend && lease.dueAt <= now + termMs / 20;
      const seconds = Math.floor(Math.min(termMs, Math.max(0, lease.endsAt - now)) / 1000);
      if (lease.heldUntil <= now && !(isDue && seconds === 0)) lapsed.push(lease);
      else if (isDue) due.set(seconds, [...(due.get(seconds) ?? []), lease]);
    }
    const ended = due.get(0) ?? [];
    due.delete(0);
    if (ended.length > 0) this.#options.expire(ended.flatMap(stillHeld));
    if (lapsed.length > 0) this.#options.lapse(lapsed.flatMap(stillHeld));
    for (const [seconds, leases] of due) void this.#extend(leases, seconds);
    this.#sweep();
    for (const lease of this.#leases) this.#wakeFor(lease);
  }

  async #extend(leases: readonly Lease[], seconds: number): Promise<void> {
    const { termMs, extend } = this.#options;
    const sentAt = performance.now();
    // The last extension holds until the end.
    const nextMs = seconds * 1000 < termMs ? seconds * 1000 : termMs / 2;
    for (const lease of leases) lease.dueAt = sentAt + nextMs;
    const extending = extend(leases.flatMap(stillHeld), seconds);
    for (const lease of leases) lease.extending = extending;
    const extended = await extending;
    for (const lease of leases) {
      lease.extending = undefined;
      if (extended) lease.extendTo(sentAt + seconds * 1000);
      // Not yet lost: about a quarter of the term is left by then, and the next try has time for an answer.
      else lease.dueAt = sentAt + termMs / 4;
      this.#wakeFor(lease);
    }
  }
}

function stillHeld(lease: Lease): HeldMessage[] {
  return lease.messages.filter((message) => message.held && message.lease === lease);
}

import type { HeldMessage, Holder } from "./held-message.ts";

/** No message is hidden for longer than 12 hours from its receive, however often it is extended … */
const limitMs = 43_200_000;
/** … by the server's clock, which began to count before its answer arrived here. */
const marginMs = 10_000;

/** The messages of one receive that are still held. They share a due time, so that a lease costs nothing per message. */
export class Lease {
  dueAt: number;
  /** When it cannot be extended any more. */
  readonly endsAt: number;
  readonly holder: Holder;
  messages: HeldMessage[] = [];
  #open = 0;

  constructor({ dueAt, endsAt }: { dueAt: number; endsAt: number }, holder: Holder) {
    this.dueAt = dueAt;
    this.endsAt = endsAt;
    this.holder = holder;
  }

  get open(): boolean {
    return this.#open > 0;
  }

  add(message: HeldMessage): void {
    this.messages.push(message);
    this.#open++;
  }

  /** One message less to extend. With the last one goes the memory, long before the lease is due. */
  close(): void {
    if (--this.#open === 0) this.messages = [];
  }
}

export interface LeaseOptions {
  /** How long an extension holds, in milliseconds. */
  readonly termMs: number;
  /** False: leases are known but not extended. */
  readonly autoExtend: boolean;
  /** Hides the messages for so long from now; false when that failed and is worth another try. */
  readonly extend: (messages: readonly HeldMessage[], seconds: number) => Promise<boolean>;
  /** Told of messages that have been hidden for as long as any can be. */
  readonly expire: (messages: readonly HeldMessage[]) => void;
}

/**
 * Extends what is held at half of its visibility timeout: one timer and, for all that is due together, one call. Extensions
 * end 12 hours after the receive: the last one is shorter.
 */
export class Leases {
  /** Ordered by due time. */
  #leases: Lease[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;
  #sweepAt = 64;
  readonly #options: LeaseOptions;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  /** Begins a lease for messages received just now; they are added right after. */
  begin(holder: Holder): Lease {
    const now = performance.now();
    const endsAt = now + limitMs - marginMs;
    const lease = new Lease({ dueAt: now + this.#options.termMs / 2, endsAt }, holder);
    if (this.#leases.length >= this.#sweepAt) this.#sweep();
    this.#leases.push(lease);
    this.#schedule();
    return lease;
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

  /** Drops the leases that are done. At a doubling bound, so that a lease costs the same however long its term is. */
  #sweep(): void {
    this.#leases = this.#leases.filter((lease) => lease.open);
    this.#sweepAt = Math.max(64, 2 * this.#leases.length);
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#stopped || !this.#options.autoExtend) return;
    const [next] = this.#leases;
    if (next === undefined) return;
    this.#timer = setTimeout(
      () => void this.#extendDue(),
      Math.max(0, next.dueAt - performance.now()),
    );
  }

  async #extendDue(): Promise<void> {
    this.#timer = undefined;
    this.#sweep();
    const { termMs } = this.#options;
    const now = performance.now();
    // A little early for those due next, so that receives close to each other are extended by one call.
    const due = this.#leases.filter((lease) => lease.dueAt <= now + termMs / 20);
    if (due.length === 0) return this.#schedule();
    const bySeconds = new Map<number, Lease[]>();
    for (const lease of due) {
      const seconds = Math.floor(Math.min(termMs, Math.max(0, lease.endsAt - now)) / 1000);
      bySeconds.set(seconds, [...(bySeconds.get(seconds) ?? []), lease]);
    }
    this.#expire(bySeconds.get(0) ?? []);
    bySeconds.delete(0);
    await Promise.all(Array.from(bySeconds, ([seconds, leases]) => this.#extend(leases, seconds)));
  }

  async #extend(leases: readonly Lease[], seconds: number): Promise<void> {
    const { termMs, extend } = this.#options;
    const now = performance.now();
    // The last extension holds until the end.
    const nextMs = seconds * 1000 < termMs ? seconds * 1000 : termMs / 2;
    this.#postpone(leases, now + nextMs);
    if (await extend(leases.flatMap(stillHeld), seconds)) return;
    // Not yet lost: about a quarter of the term is left by then, and the next try has time for an answer.
    this.#postpone(leases, now + termMs / 4);
  }

  #expire(leases: readonly Lease[]): void {
    if (leases.length === 0) return;
    this.#options.expire(leases.flatMap(stillHeld));
    this.#sweep();
    this.#reschedule();
  }

  #postpone(leases: readonly Lease[], dueAt: number): void {
    for (const lease of leases) lease.dueAt = dueAt;
    this.#leases.sort((one, other) => one.dueAt - other.dueAt);
    this.#reschedule();
  }

  #reschedule(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#schedule();
  }
}

function stillHeld(lease: Lease): HeldMessage[] {
  return lease.messages.filter((message) => message.held);
}

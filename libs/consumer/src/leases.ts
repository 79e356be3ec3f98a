import type { HeldMessage, Holder } from "./held-message.ts";

/** The messages of one receive that are still held. They share a due time, so that a lease costs nothing per message. */
export class Lease {
  dueAt: number;
  readonly holder: Holder;
  messages: HeldMessage[] = [];
  #open = 0;

  constructor(dueAt: number, holder: Holder) {
    this.dueAt = dueAt;
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
  /** Extends the messages by another term; false when that failed and is worth another try. */
  readonly extend: (messages: readonly HeldMessage[]) => Promise<boolean>;
}

/** Extends what is held at half of its visibility timeout: one timer and, for all that is due together, one call. */
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
    const lease = new Lease(performance.now() + this.#options.termMs / 2, holder);
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
    this.#postpone(due, now + termMs / 2);
    this.#schedule();
    if (due.length === 0) return;
    const extended = await this.#options.extend(due.flatMap(stillHeld));
    if (!extended) {
      // Not yet lost: about a quarter of the term is left by then, and the next try has time for an answer.
      this.#postpone(due, now + termMs / 4);
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#schedule();
    }
  }

  #postpone(leases: readonly Lease[], dueAt: number): void {
    for (const lease of leases) lease.dueAt = dueAt;
    this.#leases.sort((one, other) => one.dueAt - other.dueAt);
  }
}

function stillHeld(lease: Lease): HeldMessage[] {
  return lease.messages.filter((message) => message.held);
}

import { now } from "./clock.ts";
import type { Stamp } from "./bodies.ts";

/** What one queue was given: every message must come, and none twice. */
export class Ledger {
  readonly #seen: Uint8Array;
  readonly #lastOfGroup: Int32Array;
  readonly #latencies: Float64Array | undefined;
  readonly #timedFrom: number;
  #timed = 0;
  #distinct = 0;
  #doubles = 0;
  #strangers = 0;
  #outOfOrder = 0;

  /** @param options.timedFrom - The first message whose latency counts; without it, none does. */
  constructor(messages: number, options: { groups?: number; timedFrom?: number } = {}) {
    this.#seen = new Uint8Array(messages);
    this.#lastOfGroup = new Int32Array(options.groups ?? 0).fill(-1);
    this.#timedFrom = options.timedFrom ?? messages;
    this.#latencies =
      options.timedFrom === undefined ? undefined : new Float64Array(messages - options.timedFrom);
  }

  take(stamps: readonly Stamp[]): void {
    const time = this.#latencies === undefined ? 0 : now();
    for (const { n, t } of stamps) {
      if (this.#seen[n] === undefined) this.#strangers += 1;
      else if (this.#seen[n] === 1) this.#doubles += 1;
      else this.#first(n, time - t);
    }
  }

  #first(n: number, latency: number): void {
    this.#seen[n] = 1;
    this.#distinct += 1;
    if (this.#latencies !== undefined && n >= this.#timedFrom)
      this.#latencies[this.#timed++] = latency;
    const groups = this.#lastOfGroup.length;
    if (groups === 0) return;
    if (n < (this.#lastOfGroup[n % groups] ?? 0)) this.#outOfOrder += 1;
    this.#lastOfGroup[n % groups] = n;
  }

  get distinct(): number {
    return this.#distinct;
  }

  get complete(): boolean {
    return this.#distinct === this.#seen.length;
  }

  /** From publish to receive, in microseconds, in no order. */
  get latencies(): Float64Array {
    return this.#latencies?.subarray(0, this.#timed) ?? new Float64Array();
  }

  /**
   * What is wrong with it, in words; undefined when every message came exactly once, in order where order is promised.
   */
  complaint(): string | undefined {
    const missing = this.#seen.length - this.#distinct;
    const counts = {
      missing,
      "received twice": this.#doubles,
      "never published": this.#strangers,
      "out of order": this.#outOfOrder,
    };
    const wrong = Object.entries(counts).filter(([, count]) => count > 0);
    if (wrong.length === 0) return undefined;
    const parts = wrong.map(([what, count]) => `${count} ${what}`);
    return `of ${this.#seen.length} messages ${parts.join(", ")}`;
  }
}

import { Pace } from "../pace.ts";
import type { InFlightCount } from "./count-in-flight.ts";

/** Most messages of a queue that are in flight (LIMITS: queues). */
export const MAX_IN_FLIGHT = 120_000;

/** Counts again at most so often, in ms. */
const COUNT_EVERY = 1_000;
/**
 * How long a count that was slow keeps the next one away at most, in ms: after one that met a standstill of five
 * seconds a queue at its limit would refuse receives for four minutes, whatever came free elsewhere.
 */
const COUNT_AT_MOST = 10_000;
/** Other processes claim as well: after so many ms a count says little, */
const STALE_AFTER = 60_000;
/** but a process that has claimed fewer than this since cannot have changed much. */
const FEW = 1_000;
/** How long a queue counts as one with tenants after it handed out a message of one, in ms. */
const HAS_TENANTS_FOR = 10_000;

/**
 * What is known, without counting, of how much of a queue is in flight: the last count, and what this process claimed
 * and acknowledged since.
 *
 * It counts anew when a quarter of the room that was left has gone (other processes may have taken as much), and, where
 * messages have tenants, about once a second to see who is noisy. So a queue far from its limit is counted hardly ever,
 * and the limit may be passed by about as much as its processes claim in a second.
 */
export class InFlight {
  readonly #count: () => Promise<InFlightCount>;
  readonly #pace = new Pace(COUNT_EVERY, { atMostMs: COUNT_AT_MOST });
  #counted = 0;
  #countedAt = -Infinity;
  #claimed = 0;
  #acknowledged = 0;
  #tenantSeenAt = -Infinity;
  #noisy: readonly string[] = [];

  constructor(count: () => Promise<InFlightCount>) {
    this.#count = count;
  }

  /** Tenants that take turns behind all others. */
  get noisy(): readonly string[] {
    return this.#noisy;
  }

  claimed(messages: number, hasTenants: boolean): void {
    this.#claimed += messages;
    if (hasTenants) this.#tenantSeenAt = performance.now();
  }

  acknowledged(messages: number): void {
    this.#acknowledged += messages;
  }

  /** How many messages may be claimed now. */
  async room(): Promise<number> {
    if (this.#pace.isDue && this.#mattersToCount()) {
      await this.#pace.run(async () => {
        const { messages, noisy } = await this.#count();
        this.#counted = messages;
        this.#noisy = noisy;
        this.#claimed = 0;
        this.#acknowledged = 0;
        this.#countedAt = performance.now();
      });
    }
    return Math.max(0, MAX_IN_FLIGHT - this.#counted - this.#taken);
  }

  /** Since the last count. */
  get #taken(): number {
    return Math.max(0, this.#claimed - this.#acknowledged);
  }

  #mattersToCount(): boolean {
    const now = performance.now();
    if (now - this.#tenantSeenAt < HAS_TENANTS_FOR || this.#noisy.length > 0) return true;
    if (this.#claimed < FEW && this.#counted < MAX_IN_FLIGHT / 2) return false;
    return (
      this.#taken >= (MAX_IN_FLIGHT - this.#counted) / 4 || now - this.#countedAt > STALE_AFTER
    );
  }
}

import type { HeldMessage } from "./held-message.ts";

/** About 2 MB of ids. */
const maxMessages = 10_000;
const maxAgeMs = 3_600_000;

interface Handled {
  readonly firstReceivedAt: string;
  readonly until: number;
}

/**
 * Messages that were handled and could not be acknowledged, so they come again. The newest 10,000, for an hour: what is
 * forgotten is handled again, as by any other consumer.
 */
export class HandledMessages {
  /** By their id, oldest first. */
  readonly #messages = new Map<string, Handled>();

  add({ id, receipt: { firstReceivedAt } }: HeldMessage): void {
    const now = performance.now();
    this.#messages.delete(id);
    this.#messages.set(id, { firstReceivedAt, until: now + maxAgeMs });
    for (const [oldest, { until }] of this.#messages) {
      if (until > now && this.#messages.size <= maxMessages) break;
      this.#messages.delete(oldest);
    }
  }

  /**
   * Whether it is one of them, which is forgotten with that. Not one that is sent anew under the id of one of them, as
   * replays and redrives do: that is received for the first time later.
   */
  take({ id, receipt: { firstReceivedAt } }: HeldMessage): boolean {
    const handled = this.#messages.get(id);
    if (handled === undefined || handled.firstReceivedAt !== firstReceivedAt) return false;
    this.#messages.delete(id);
    return handled.until > performance.now();
  }
}

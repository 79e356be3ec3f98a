import { stopController } from "@sluice/client/internal";
import { SluiceError } from "@sluice/client";
import type { Failures, Refused } from "./failures.ts";
import { HeldMessage } from "./held-message.ts";
import type { Attempt, Holder } from "./held-message.ts";
import { Leases } from "./leases.ts";
import type { Lease } from "./leases.ts";
import { bitsOf, maxEntries, type QueueCalls, type WireReceipt } from "./queue-calls.ts";
import type { ReleaseOptions } from "./received-message.ts";
import type { Settlements } from "./settlements.ts";

export interface HoldingsOptions {
  readonly calls: QueueCalls;
  readonly settlements: Settlements;
  readonly failures: Failures;
  /** How long a receive or an extension hides a message, in seconds. */
  readonly visibilityTimeout: number;
  readonly autoExtend: boolean;
}

/** All that the consumer holds: hidden from others until it is settled, however long its handler takes. */
export class Holdings implements Holder {
  readonly #options: HoldingsOptions;
  readonly #leases: Leases;
  readonly #stopping = stopController();

  constructor(options: HoldingsOptions) {
    this.#options = options;
    this.#leases = new Leases({
      termMs: options.visibilityTimeout * 1000,
      autoExtend: options.autoExtend,
      extend: (messages, seconds) => this.#extendAll(messages, seconds),
      expire: (messages) => this.#expire(messages),
      lapse: (messages) => this.#lapse(messages),
    });
  }

  /** Takes over what a receive has just answered. */
  hold(received: readonly WireReceipt[], heldFrom: number): HeldMessage[] {
    if (received.length === 0) return [];
    const lease = this.#leases.begin(this, heldFrom);
    const held: HeldMessage[] = [];
    for (const receipt of received) {
      const bits = bitsOf(receipt);
      receipt.messages.forEach((wire, index) => {
        const message = new HeldMessage(wire, receipt, bits[index]!, lease);
        lease.add(message);
        held.push(message);
      });
    }
    return held;
  }

  held(): HeldMessage[] {
    return this.#leases.held();
  }

  stop(): void {
    this.#stopping.abort();
    this.#leases.stop();
  }

  acknowledge(message: HeldMessage, attempt: Attempt): Promise<void> {
    return this.#options.settlements.ackNow(message, attempt);
  }

  release(message: HeldMessage, options: ReleaseOptions, attempt: Attempt): Promise<void> {
    return this.#options.settlements.releaseNow(message, options, attempt);
  }

  async extend(message: HeldMessage, seconds: number): Promise<void> {
    // What is too long by a moment only is not to be refused; with nothing left, it is.
    const visibilityTimeout = Math.min(seconds, message.lease.secondsLeft || seconds);
    await this.#leases.hide(message, visibilityTimeout, async (onRetry) => {
      const entries = [{ receiptHandle: message.receiptHandle, visibilityTimeout }];
      const how = { as: "extend", retry: true, onRetry } as const;
      const errors = await this.#options.calls.changeVisibility(entries, how);
      const error = errors.get(0);
      if (error !== undefined) throw error;
    });
  }

  lapse(lease: Lease): void {
    this.#leases.lapse(lease);
  }

  async #extendAll(messages: readonly HeldMessage[], seconds: number): Promise<boolean> {
    const calls: Promise<boolean>[] = [];
    for (let from = 0; from < messages.length; from += maxEntries) {
      calls.push(this.#extendSome(messages.slice(from, from + maxEntries), seconds));
    }
    return (await Promise.all(calls)).every(Boolean);
  }

  async #extendSome(messages: readonly HeldMessage[], seconds: number): Promise<boolean> {
    const { calls, failures, visibilityTimeout } = this.#options;
    const entries = messages.map(({ receiptHandle }) => ({
      receiptHandle,
      visibilityTimeout: seconds,
    }));
    // An attempt must end while there is still time for another one. One that hangs holds up releases with a delay.
    const timeoutMs = Math.min(calls.timeoutMs, Math.max(1_000, (visibilityTimeout * 1000) / 4));
    const signal = this.#stopping.signal;
    try {
      const how = { as: "extend", retry: false, timeoutMs, signal } as const;
      const errors = await calls.changeVisibility(entries, how);
      this.#refused(messages, errors);
      return true;
    } catch (error) {
      if (signal.aborted) return true;
      const held = messages.filter((message) => message.held);
      // By now all may be settled, or lost, which was told.
      if (held.length > 0) failures.call("extend", error as SluiceError, held);
      return false;
    }
  }

  /** Nobody is told where nobody was to extend them. */
  #lapse(messages: readonly HeldMessage[]): void {
    const told = "The message was not extended in time: other consumers may have it.";
    const error = new SluiceError("timeout", told);
    for (const message of messages) message.lose(error);
    if (!this.#options.autoExtend) return;
    const refused = messages.map((message) => ({ error, message }));
    this.#options.failures.entries("extend", refused);
  }

  #expire(messages: readonly HeldMessage[]): void {
    const told = "The message has been hidden for 12 hours, and no longer can it be.";
    const error = new SluiceError("visibility_beyond_limit", told);
    for (const message of messages) message.lose(error);
    const refused = messages.map((message) => ({ error, message }));
    this.#options.failures.entries("extend", refused);
  }

  #refused(messages: readonly HeldMessage[], errors: ReadonlyMap<number, SluiceError>): void {
    const refused: Refused[] = [];
    for (const [index, error] of errors) {
      const message = messages[index]!;
      // Settled while the extension was on its way: refusing it was right.
      if (!message.held) continue;
      // It could not have been hidden for so long, and is for as long as it was.
      if (error.code === "visibility_beyond_limit") {
        this.#leases.keep(message);
        continue;
      }
      message.lose(error);
      refused.push({ error, message });
    }
    this.#options.failures.entries("extend", refused);
  }
}

import type { PayloadFormat, SluiceError } from "@sluice/client";
import { sideBySide } from "@sluice/client/internal";
import { decode } from "./decode.ts";
import type { Refused } from "./failures.ts";
import type { HeldMessage } from "./held-message.ts";
import type { Outcomes } from "./outcomes.ts";
import type { ReceivedMessage } from "./received-message.ts";
import type { Workload } from "./workload.ts";

/** Handles what one receive brought; returning acknowledges all of it, throwing makes all of it visible again. */
export type BatchHandler<Payload> = (messages: ReceivedMessage<Payload>[]) => unknown;

/**
 * Handles each receive's messages as one batch: no promise, timer or call per message.
 *
 *   receive ─▶ decode ─▶ handler ─▶ acknowledge
 *                                     └─ with the next receive, if that comes at once
 */
export class BatchWorkload<Payload> implements Workload {
  readonly #handler: BatchHandler<Payload>;
  readonly #batchSize: number;
  readonly #format: PayloadFormat<never, unknown>;
  readonly #outcomes: Outcomes;
  readonly #acknowledging = new Set<Promise<void>>();
  readonly #maxAcknowledging: number;
  #stopped = false;

  constructor(
    handler: BatchHandler<Payload>,
    {
      limits,
      format,
      outcomes,
    }: {
      limits: { batchSize: number; receivers: number };
      format: PayloadFormat<never, unknown>;
      outcomes: Outcomes;
    },
  ) {
    this.#handler = handler;
    this.#batchSize = limits.batchSize;
    this.#maxAcknowledging = limits.receivers;
    this.#format = format;
    this.#outcomes = outcomes;
  }

  /** One acknowledgement a receiver may be outstanding, so that a slow server slows the receives and not the heap. */
  async room(): Promise<number> {
    while (this.#acknowledging.size > this.#maxAcknowledging)
      await Promise.race(this.#acknowledging);
    return this.#stopped ? 0 : this.#batchSize;
  }

  async take(messages: HeldMessage[]): Promise<void> {
    const accepted = await this.#ready(this.#open(messages));
    if (accepted.length === 0) return;
    try {
      await this.#handler(accepted as ReceivedMessage<Payload>[]);
    } catch (error) {
      return this.#outcomes.failed(error, accepted);
    }
    const acknowledged = this.#outcomes.batchSucceeded(accepted);
    this.#acknowledging.add(acknowledged);
    void acknowledged.then(() => this.#acknowledging.delete(acknowledged));
  }

  stop(): HeldMessage[] {
    this.#stopped = true;
    return [];
  }

  /** A receiver waits for its batch, so nothing is being handled when the receivers have ended. */
  idle(): Promise<void> {
    return Promise.resolve();
  }

  /** Those that have not been handled before; nearly always all of them. */
  #open(messages: HeldMessage[]): HeldMessage[] {
    if (messages.every(({ receiveCount }) => receiveCount === 1)) return messages;
    return messages.filter((message) => !this.#outcomes.isHandled(message));
  }

  /**
   * Those that could be read and are still to be handled. Of a FIFO queue what comes after another one in its group is
   * left out as well: that comes again in its order.
   */
  async #ready(messages: HeldMessage[]): Promise<HeldMessage[]> {
    this.#outcomes.undecodable(await this.#decodeAll(messages));
    const now = performance.now();
    const isReady = (message: HeldMessage) => message.isSafeAt(now) && !this.#stopped;
    if (messages.every(isReady)) return messages;
    const ready: HeldMessage[] = [];
    const unhandled: HeldMessage[] = [];
    const blocked = new Set<string>();
    for (const message of messages) {
      const { lane = "" } = message;
      if (isReady(message) && !blocked.has(lane)) {
        ready.push(message);
        continue;
      }
      unhandled.push(message);
      if (lane !== "") blocked.add(lane);
    }
    this.#outcomes.unhandled(unhandled);
    return ready;
  }

  /** Returns what could not be read. What stop() is not to wait for does not begin. */
  async #decodeAll(messages: readonly HeldMessage[]): Promise<Refused[]> {
    const read = (message: HeldMessage) => this.#decode(message);
    const refused = await sideBySide(messages, read, () => this.#stopped);
    return refused.filter((one) => one !== undefined);
  }

  /** Returns what could not be read, with why; a promise only where the schema does. */
  #decode(message: HeldMessage): Refused | undefined | Promise<Refused | undefined> {
    try {
      const late = decode(this.#format, message);
      return late?.then(nothing, (error: unknown) => refusedBy(error, message));
    } catch (error) {
      return refusedBy(error, message);
    }
  }
}

function nothing(): undefined {}

function refusedBy(error: unknown, message: HeldMessage): Refused {
  return { error: error as SluiceError, message };
}

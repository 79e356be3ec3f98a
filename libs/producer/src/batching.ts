import { SluiceError } from "@sluice/client";
import type { Connection } from "@sluice/client";
import { Coalescer, invalidOption, refuseUnknown } from "@sluice/client/internal";
import type { OptionNames } from "@sluice/client/internal";
import { impatience, type Waiter } from "./impatience.ts";
import { maxMessagesPerCall } from "./chunks.ts";
import type { PublishedMessage } from "./publish-error.ts";
import { messagesPath, oneBy, write } from "./write.ts";
import type { Destination } from "./write.ts";

/** How single publishes and sends are merged into calls. */
export interface BatchingOptions {
  /** Most messages a call takes: 1 to 1,000. Default 1,000. */
  readonly maxMessages?: number;
  /**
   * How long a message waits for company while no call to its destination is under way, in milliseconds.
   * Default 0: those published in one go share a call, those that come while it is under way share the next.
   */
  readonly maxDelayMs?: number;
}

const names: OptionNames<BatchingOptions> = { maxMessages: true, maxDelayMs: true };

interface Waiting extends Waiter {
  readonly entry: string;
  readonly resolve: (message: PublishedMessage) => void;
}

/** One coalescer a destination, each with one call under way at most: messages are committed in the order published. */
export class Batching {
  readonly #connection: Connection;
  /** Gives up their calls. */
  readonly #signal: AbortSignal | undefined;
  readonly #maxItems: number;
  readonly #lingerMs: number;
  readonly #byDestination = new Map<string, Coalescer<Waiting>>();
  #closing = false;

  constructor(connection: Connection, options: BatchingOptions, signal?: AbortSignal) {
    refuseUnknown(options, names, "batching.");
    this.#connection = connection;
    this.#signal = signal;
    this.#maxItems = options.maxMessages ?? maxMessagesPerCall;
    this.#lingerMs = options.maxDelayMs ?? 0;
    if (!(this.#maxItems >= 1 && this.#maxItems <= maxMessagesPerCall)) {
      throw invalidOption(
        "batching.maxMessages",
        `expected 1 to ${maxMessagesPerCall}, got ${this.#maxItems}`,
      );
    }
    if (!(this.#lingerMs >= 0)) {
      throw invalidOption(
        "batching.maxDelayMs",
        `expected milliseconds from 0, got ${this.#lingerMs}`,
      );
    }
  }

  add(destination: Destination<never>, entry: string): Promise<PublishedMessage> {
    return new Promise((resolve, reject) => {
      const since = performance.now();
      this.#coalescer(destination).add({ entry, since, resolve, reject }, this.#closing);
    });
  }

  /** Sends what waits, and what is still added, without lingering. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all(Array.from(this.#byDestination.values(), (coalescer) => coalescer.flush()));
  }

  #coalescer(destination: Destination<never>): Coalescer<Waiting> {
    const path = messagesPath(destination);
    let coalescer = this.#byDestination.get(path);
    if (coalescer === undefined) {
      const made = new Coalescer<Waiting>({
        maxItems: this.#maxItems,
        lingerMs: this.#lingerMs,
        send: async (waiting) => {
          const calm = impatience(made, { connection: this.#connection, destination });
          await this.#send(destination, waiting);
          calm();
          // A program may have any number of destinations.
          if (made.size === 0) this.#byDestination.delete(path);
        },
      });
      coalescer = made;
      this.#byDestination.set(path, coalescer);
    }
    return coalescer;
  }

  /** Never rejects. Returns the error that a later call would meet as well, if there was one. */
  async #send(
    destination: Destination<never>,
    waiting: readonly Waiting[],
  ): Promise<SluiceError | undefined> {
    try {
      const entries = waiting.map(({ entry }) => entry);
      // Whoever waits behind a call that is being repeated is told no later than by a call of its own.
      const waitedMs = performance.now() - (waiting[0]?.since ?? 0);
      const writing = {
        entries,
        placeOf: () => "payload",
        method: oneBy[destination.kind],
        call: { signal: this.#signal },
        waitedMs,
      };
      const { results, failure } = await write(this.#connection, destination, writing);
      const again: Waiting[] = [];
      for (const [index, one] of waiting.entries()) {
        const result = results[index];
        if (result?.messageId !== undefined) one.resolve(result);
        // Not refused alone, but with its call.
        else if (failure !== undefined && result?.error === failure && mayBeAnothers(failure))
          again.push(one);
        else one.reject(result?.error ?? noResult());
      }
      if (again.length > 1) return await this.#sendHalves(destination, again);
      again[0]?.reject(failure);
      return failure?.retryable ? failure : undefined;
    } catch (error) {
      for (const { reject } of waiting) reject(error);
      return undefined;
    }
  }

  /** One after the other, to keep the order; the message for which they were refused is alone in the end. */
  async #sendHalves(
    destination: Destination<never>,
    waiting: readonly Waiting[],
  ): Promise<SluiceError | undefined> {
    const half = Math.ceil(waiting.length / 2);
    const second = waiting.slice(half);
    const failure = await this.#send(destination, waiting.slice(0, half));
    if (failure === undefined) return await this.#send(destination, second);
    for (const { reject } of second) reject(failure);
    return failure;
  }
}

/**
 * Whether a merged call can have been refused as a whole for some of its messages, or for being so many: then others
 * may pass.
 */
function mayBeAnothers({ code, outcomeUnknown }: SluiceError): boolean {
  // The server itself says the same of the same call each time, so an attempt before it was refused as well. A gateway
  // may have let it pass: then its messages may be stored, and under keys of their own they would be once more.
  if (code === "request_too_large") return !outcomeUnknown;
  return code === "invalid_request" || code === "malformed_json";
}

function noResult(): SluiceError {
  return new SluiceError("unexpected_response", "The message has no result.");
}

import { SluiceError } from "@sluice/client";
import type { Connection } from "@sluice/client";
import { Coalescer, invalidOption } from "@sluice/client/internal";
import { maxMessagesPerCall } from "./chunks.ts";
import type { PublishedMessage } from "./publish-error.ts";
import { messagesPath, write } from "./write.ts";
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

interface Waiting {
  readonly entry: string;
  readonly resolve: (message: PublishedMessage) => void;
  readonly reject: (error: unknown) => void;
}

/** One coalescer a destination, each with one call under way at most: messages are committed in the order published. */
export class Batching {
  readonly #connection: Connection;
  readonly #maxItems: number;
  readonly #lingerMs: number;
  readonly #byDestination = new Map<string, Coalescer<Waiting>>();
  #closing = false;

  constructor(connection: Connection, options: BatchingOptions) {
    this.#connection = connection;
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
      this.#coalescer(destination).add({ entry, resolve, reject }, this.#closing);
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
      coalescer = new Coalescer({
        maxItems: this.#maxItems,
        lingerMs: this.#lingerMs,
        send: (waiting) => this.#send(destination, waiting),
      });
      this.#byDestination.set(path, coalescer);
    }
    return coalescer;
  }

  async #send(destination: Destination<never>, waiting: readonly Waiting[]): Promise<void> {
    try {
      const entries = waiting.map(({ entry }) => entry);
      const { results, failure } = await write(this.#connection, destination, {
        entries,
        call: {},
      });
      const alone: Waiting[] = [];
      for (const [index, one] of waiting.entries()) {
        const result = results[index];
        if (result?.messageId !== undefined) one.resolve(result);
        else if (failure !== undefined && mayBeAnothers(failure) && waiting.length > 1)
          alone.push(one);
        else one.reject(result?.error ?? noResult());
      }
      for (const one of alone) await this.#send(destination, [one]);
    } catch (error) {
      for (const { reject } of waiting) reject(error);
    }
  }
}

/** Whether a merged call can have been refused as a whole for a single one of its messages: then each is told by a call of its own. */
function mayBeAnothers({ code }: SluiceError): boolean {
  return code === "invalid_request" || code === "malformed_json" || code === "request_too_large";
}

function noResult(): SluiceError {
  return new SluiceError("unexpected_response", "The message has no result.");
}

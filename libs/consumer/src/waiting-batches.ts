import type { HeldMessage } from "./held-message.ts";
import { maxEntries, type EntryErrors } from "./queue-calls.ts";
import { part } from "./refusals.ts";

/** A batch that was acknowledged and waits for a receive to go with. */
export interface WaitingBatch {
  readonly messages: readonly HeldMessage[];
  readonly settle: (errors: EntryErrors) => void;
}

export interface WaitingBatchesOptions {
  /** How long the first of them waits, in ms. */
  readonly lingerMs: number;
  /** Sends a batch for which no receive has come along. */
  readonly send: (batch: WaitingBatch) => void;
}

/** Batches that wait for the next receive; when that is not soon, each goes with a call of its own. */
export class WaitingBatches {
  readonly #options: WaitingBatchesOptions;
  #batches: WaitingBatch[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: WaitingBatchesOptions) {
    this.#options = options;
  }

  add(batch: WaitingBatch): void {
    this.#batches.push(batch);
    this.#timer ??= setTimeout(() => this.send(), this.#options.lingerMs);
  }

  /** Whether one of their messages is such. */
  some(isSuch: (message: HeldMessage) => boolean): boolean {
    return this.#batches.some(({ messages }) => messages.some(isSuch));
  }

  /** Takes out whole batches, as many as fit into one call; a single one always does. */
  take(): WaitingBatch[] {
    let size = 0;
    const fits = this.#batches.findIndex(({ messages }, index) => {
      size += messages.length;
      return index > 0 && size > maxEntries;
    });
    const taken = this.#batches.splice(0, fits < 0 ? this.#batches.length : fits);
    if (this.#batches.length === 0) this.#stopTimer();
    return taken;
  }

  /** Sends them without a receive. */
  send(): void {
    this.#stopTimer();
    for (const batch of this.#batches.splice(0)) this.#options.send(batch);
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** Nearly always there is one: then nothing is copied. */
export function merged(batches: readonly WaitingBatch[]): WaitingBatch {
  const [only] = batches;
  if (only && batches.length === 1) return only;
  return {
    messages: batches.flatMap(({ messages }) => messages),
    settle: (errors) => {
      let first = 0;
      for (const { messages, settle } of batches) {
        settle(part(errors, first, messages.length));
        first += messages.length;
      }
    },
  };
}

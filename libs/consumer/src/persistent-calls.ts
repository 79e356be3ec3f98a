import type { SluiceError } from "@sluice/client";
import { stopController } from "@sluice/client/internal";
import type { Attempt, HeldMessage } from "./held-message.ts";
import type { CallOptions, EntryErrors } from "./queue-calls.ts";
import { withoutDone } from "./refusals.ts";
import { pauseBefore } from "./until-available.ts";

export type Repeating = Required<Pick<CallOptions, "signal" | "retry" | "onRetry">>;

/** A call about messages, and what to do with its answer. */
export interface MessageCall {
  readonly messages: readonly HeldMessage[];
  readonly call: (how: Repeating) => Promise<EntryErrors>;
  readonly settle: (errors: EntryErrors) => void;
}

/**
 * Makes calls about messages. When the connection has repeated one for as long as it does, it is repeated for as long
 * as one of its messages is held: until then it is worth a try.
 */
export class PersistentCalls {
  readonly #open = new Set<Promise<void>>();
  readonly #giveUp = stopController();
  readonly #repeats: boolean;

  /** @param repeats - Whether the connection repeats calls: one that repeats nothing is taken at its word. */
  constructor(repeats: boolean) {
    this.#repeats = repeats;
  }

  /** Aborts when they are given up. */
  get signal(): AbortSignal {
    return this.#giveUp.signal;
  }

  /** Resolves when it is settled, or left to be repeated later: others need not wait for that. */
  make(call: MessageCall, attempt: Attempt): Promise<void> {
    return this.#keep(this.#make(call, attempt));
  }

  /** Waits for all of them, those that are repeated later included. */
  async settled(): Promise<void> {
    // One of them may leave another one behind, which repeats it.
    while (this.#open.size > 0) await Promise.all(this.#open);
  }

  giveUp(): void {
    this.#giveUp.abort();
  }

  #keep(made: Promise<void>): Promise<void> {
    this.#open.add(made);
    void made.finally(() => this.#open.delete(made));
    return made;
  }

  async #make(made: MessageCall, { again, doneBy }: Attempt, round = 1): Promise<void> {
    const { messages, call, settle } = made;
    const { signal } = this.#giveUp;
    let mayBeDone = again;
    const onRetry = ({ outcomeUnknown }: SluiceError) => {
      mayBeDone ||= outcomeUnknown;
    };
    let errors: EntryErrors;
    try {
      errors = await call({ signal, retry: true, onRetry });
    } catch (thrown) {
      const error = thrown as SluiceError;
      // Also where the connection has not repeated it once: the server asked for a longer pause, or hung for too long.
      if (this.#repeats && error.retryable && isHeld(messages)) {
        mayBeDone ||= error.outcomeUnknown;
        const next = pauseBefore(round + 1, { error, signal });
        void this.#keep(next.then(() => this.#make(made, { again: mayBeDone, doneBy }, round + 1)));
        return;
      }
      errors = new Map(messages.map((_, index) => [index, error]));
    }
    settle(mayBeDone ? withoutDone(errors, messages, doneBy) : errors);
  }
}

/** Whether the server may still know the consumer as the holder of one of them. */
function isHeld(messages: readonly HeldMessage[]): boolean {
  const now = performance.now();
  return messages.some(({ lease }) => lease.heldUntil > now);
}

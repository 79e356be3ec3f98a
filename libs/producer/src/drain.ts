import { SluiceError } from "@sluice/client";
import { invalidOption, onAbort, startTimer, stopController } from "@sluice/client/internal";

interface Listening {
  readonly signal: AbortSignal | undefined;
  readonly forget: () => void;
}

/** How long close() waits for what is under way, and what becomes of the rest. */
export class Drain {
  readonly #limitMs: number;
  /** Without a limit nothing has to listen. */
  readonly #over: AbortController | undefined;

  /** Throws `invalid_request` for what is no limit. */
  constructor(limitMs: number) {
    if (typeof limitMs !== "number" || !(limitMs >= 0))
      throw invalidOption("drainTimeoutMs", "expected milliseconds from 0");
    this.#limitMs = limitMs;
    this.#over = limitMs === Infinity ? undefined : stopController();
  }

  /** Aborted at the end of the drain, where it has a limit. */
  get signal(): AbortSignal | undefined {
    return this.#over?.signal;
  }

  /**
   * What gives up a call: its caller, the end of the drain, or both; to be forgotten when the call has ended. Not by
   * AbortSignal.any: with that a signal that lives long grows by 50 bytes a call, in Node 20.
   */
  listenTo(caller: AbortSignal | undefined): Listening {
    const over = this.#over?.signal;
    if (caller === undefined || over === undefined || caller.aborted)
      return { signal: caller ?? over, forget: () => {} };
    const either = stopController();
    if (over.aborted) either.abort(over.reason);
    const ends = [caller, over].map((signal) => onAbort(signal, () => either.abort(signal.reason)));
    return {
      signal: either.signal,
      forget: () => {
        for (const end of ends) end();
      },
    };
  }

  /** Waits for what is to be sent, such as the answer of a schema, but not beyond the drain. */
  unsent<Value>(value: Promise<Value>): Promise<Value> {
    const signal = this.#over?.signal;
    if (signal === undefined) return value;
    return new Promise((resolve, reject) => {
      const forget = onAbort(signal, () => reject(this.#notSent()));
      void value.then(resolve, reject).finally(forget);
    });
  }

  /** Begins to count; returns how to end that. */
  begin(): () => void {
    const timer = startTimer(() => this.#over?.abort(this.#reason()), this.#limitMs);
    return () => clearTimeout(timer);
  }

  #reason(): Error {
    return new Error(`The producer was closed, and has waited for ${this.#limitMs} ms.`);
  }

  #notSent(): SluiceError {
    const { message } = this.#reason();
    return new SluiceError("aborted", `${message} It was not sent.`, { outcomeUnknown: false });
  }
}

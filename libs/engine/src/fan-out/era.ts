/**
 * The time with one server, for what is evaluated meanwhile: ids of batches and policies are those of its database, and
 * on another server they may stand for others. Whoever goes on for long keeps the era in which it began, and asks that
 * one.
 */
export class Era {
  readonly #ending = new AbortController();
  #isForgotten = false;

  /** Aborted when evaluations that take long are to end. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** The process stops. What was evaluated by then still goes. */
  end(): void {
    this.#ending.abort();
  }

  /** The database may be another one from now on. What was evaluated is good for nothing, and another era begins. */
  forget(): Era {
    this.#isForgotten = true;
    this.#ending.abort();
    return new Era();
  }

  /** @throws the reason of the signal when what was evaluated is good for nothing */
  throwIfForgotten(): void {
    if (this.#isForgotten) this.signal.throwIfAborted();
  }
}

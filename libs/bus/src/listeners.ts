import type { BusSubscription } from "./bus.ts";

/** Handlers of one kind of hint in this process. One that throws disturbs none of the others. */
export class Listeners<T> {
  readonly #handlers = new Set<{ handle: (value: T) => void }>();
  readonly #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  add(handle: (value: T) => void): BusSubscription {
    const entry = { handle };
    this.#handlers.add(entry);
    return { stop: async () => void this.#handlers.delete(entry) };
  }

  emit(value: T): void {
    for (const { handle } of this.#handlers) {
      try {
        handle(value);
      } catch (error) {
        this.#onError(error);
      }
    }
  }

  get size(): number {
    return this.#handlers.size;
  }

  clear(): void {
    this.#handlers.clear();
  }
}

import type { ReceivedMessage } from "./received-message.ts";

/** A message whose handler waits for the loop's body. */
interface Offer<Payload> {
  readonly message: ReceivedMessage<Payload>;
  readonly done: () => void;
}

/**
 * Turns a handler that is called into a loop that asks: the handler of a message returns when the loop asks for the
 * next.
 */
export class Handoff<Payload> {
  #offered: Offer<Payload> | undefined;
  #asked: ((offer: Offer<Payload> | undefined) => void) | undefined;
  #closed = false;

  readonly handler = (message: ReceivedMessage<Payload>): Promise<void> =>
    new Promise((done) => {
      const offer = { message, done };
      if (this.#asked === undefined) this.#offered = offer;
      else this.#asked(offer);
      this.#asked = undefined;
    });

  /** The next message; undefined when there will be none. */
  take(): Promise<Offer<Payload> | undefined> {
    const offer = this.#offered;
    this.#offered = undefined;
    if (offer !== undefined || this.#closed) return Promise.resolve(offer);
    return new Promise((resolve) => (this.#asked = resolve));
  }

  close(): void {
    this.#closed = true;
    this.#asked?.(undefined);
  }
}

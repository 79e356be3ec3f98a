import type { Subscription } from "@nats-io/transport-node";
import type { BusSubscription } from "../bus.ts";
import { Listeners } from "../listeners.ts";
import type { Link } from "./link.ts";

export interface ChannelOptions<T> {
  link: Link;
  subject: string;
  /** One value may need several messages. */
  encode: (value: T) => string[];
  decode: (text: string) => T | undefined;
  onError: (error: unknown) => void;
}

/** One kind of hint that goes to everybody, over core NATS. It is subscribed to while it has handlers. */
export class Channel<T> {
  readonly #options: ChannelOptions<T>;
  readonly #listeners: Listeners<T>;
  #subscription: Pick<Subscription, "unsubscribe"> | undefined;

  constructor(options: ChannelOptions<T>) {
    this.#options = options;
    this.#listeners = new Listeners(options.onError);
  }

  /** The handlers of this process need no network to be told, and NATS does not send back what comes from here. */
  send(value: T): void {
    const { link, subject, encode } = this.#options;
    queueMicrotask(() => this.#listeners.emit(value));
    if (link.connected) for (const text of encode(value)) link.send(subject, text);
  }

  /** Resolves when what is sent from now on arrives. */
  async listen(handler: (value: T) => void): Promise<BusSubscription> {
    const { link, subject } = this.#options;
    const listener = this.#listeners.add(handler);
    this.#subscription ??= link.subscribe(subject, (text) => this.#receive(text));
    await link.flush();
    return {
      stop: async () => {
        await listener.stop();
        if (this.#listeners.size === 0) this.close();
      },
    };
  }

  close(): void {
    this.#listeners.clear();
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
  }

  #receive(text: string): void {
    const value = this.#options.decode(text);
    if (value !== undefined) this.#listeners.emit(value);
  }
}

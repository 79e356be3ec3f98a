import { startTimer } from "./timer.ts";

export interface CoalescerOptions<Item> {
  /** Most items one send takes. */
  readonly maxItems: number;
  /**
   * How long the first item of an idle coalescer waits for company, in milliseconds; 0: until the running code yields.
   */
  readonly lingerMs: number;
  /** Sends the items; must not reject. */
  readonly send: (items: Item[]) => Promise<void>;
}

/**
 * Merges single items into few sends, one at a time and in order.
 *
 *   idle ──add──▶ lingering ──full, urgent or linger over──▶ sending ──nothing added meanwhile──▶ idle
 *                                                              └──▶ sends what was added meanwhile
 *
 * A send under way is itself the time in which the next one gathers, so batches grow with load and an idle system
 * adds no more delay than the linger.
 */
export class Coalescer<Item> {
  #items: Item[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lingering = false;
  #sending: Promise<void> | undefined;
  readonly #options: CoalescerOptions<Item>;

  constructor(options: CoalescerOptions<Item>) {
    this.#options = options;
  }

  /** Items waiting for a send of their own. */
  get size(): number {
    return this.#items.length;
  }

  /** The one that has waited longest. */
  get first(): Item | undefined {
    return this.#items[0];
  }

  /** Whether one of those that wait for a send of their own is such. */
  some(isSuch: (item: Item) => boolean): boolean {
    return this.#items.some(isSuch);
  }

  /** Queues the item; an urgent one ends the linger. */
  add(item: Item, urgent = false): void {
    this.#items.push(item);
    if (this.#sending !== undefined) return;
    const { maxItems, lingerMs } = this.#options;
    if (this.#items.length >= maxItems) this.#start();
    else if (urgent || lingerMs === 0) {
      if (this.#items.length === 1 || this.#lingering) queueMicrotask(() => this.#start());
      this.#stopTimer();
    } else if (!this.#lingering) {
      this.#lingering = true;
      this.#timer = startTimer(() => this.#start(), lingerMs);
    }
  }

  /** Takes out what waits for a send, up to so many items, to go in another way; nothing when one of them is not to. */
  take(maxItems: number, mayGo: (item: Item) => boolean): Item[] {
    if (!this.#items.every(mayGo)) return [];
    const taken = this.#items.splice(0, maxItems);
    if (this.#items.length === 0) this.#stopTimer();
    return taken;
  }

  /** Takes out those that wait first, as long as they are to go. */
  takeWhile(mayGo: (item: Item) => boolean): Item[] {
    const kept = this.#items.findIndex((item) => !mayGo(item));
    return this.take(kept < 0 ? this.#items.length : kept, () => true);
  }

  /** Sends everything added so far without lingering, and resolves when that is done. */
  async flush(): Promise<void> {
    this.#start();
    await this.#sending;
  }

  #start(): void {
    this.#stopTimer();
    if (this.#sending !== undefined || this.#items.length === 0) return;
    this.#sending = this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    while (this.#items.length > 0) {
      const { maxItems, send } = this.#options;
      const items = this.#items.length <= maxItems ? this.#items : this.#items.slice(0, maxItems);
      this.#items = this.#items.length <= maxItems ? [] : this.#items.slice(maxItems);
      await send(items);
    }
    // Here and not in a then(): between the loop's last look and a later tick an item could slip in and wait for ever.
    this.#sending = undefined;
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lingering = false;
  }
}

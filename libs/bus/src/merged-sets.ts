export interface MergedSetsOptions {
  /** Takes one set; the next call waits until it has settled. */
  handler: (ids: string[]) => Promise<void>;
  /** Most ids in one call. */
  maxIds: number;
  /** Told what the handler rejected with. The ids of that call are not tried again. */
  onError: (error: unknown) => void;
}

/** Ids that wait beyond this are dropped: a handler so far behind is better served by the sweeper. */
const mostWaiting = 65_536;

/** Hands ids to a slow handler in sets: what arrives during one call is the next call's set, each id once. */
export class MergedSets {
  readonly #options: MergedSetsOptions;
  readonly #waiting = new Set<string>();
  #running: Promise<void> | undefined;
  #onRoom: (() => void)[] = [];

  constructor(options: MergedSetsOptions) {
    this.#options = options;
  }

  add(ids: readonly string[]): void {
    for (const id of ids) {
      if (this.#waiting.size < mostWaiting) this.#waiting.add(id);
    }
    if (this.#waiting.size > 0) this.#running ??= this.#run();
  }

  /** Resolves once less than a full set waits, so that whoever asks for more work can hold back until then. */
  async room(): Promise<void> {
    if (this.#waiting.size < this.#options.maxIds) return;
    await new Promise<void>((resolve) => this.#onRoom.push(resolve));
  }

  /** Resolves when everything that was added has been handled. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // One turn later, so that the hints of one network packet make one set.
    await Promise.resolve();
    while (this.#waiting.size > 0) {
      try {
        await this.#options.handler(this.#next());
      } catch (error) {
        this.#options.onError(error);
      }
    }
    this.#running = undefined;
  }

  #next(): string[] {
    const ids: string[] = [];
    for (const id of this.#waiting) {
      if (ids.length === this.#options.maxIds) break;
      ids.push(id);
      this.#waiting.delete(id);
    }
    if (this.#waiting.size < this.#options.maxIds) {
      for (const resolve of this.#onRoom.splice(0)) resolve();
    }
    return ids;
  }
}

const INTERVAL_MS = 2_000;
/** So many steps between two looks at the clock. */
const STRIDE = 4_096;

/** Tells how far something long is: nothing in its first two seconds, and then a line every two. */
export class Progress {
  readonly #tell: (line: string) => void;
  readonly #now: () => number;
  #what = "";
  #told = 0;

  constructor(tell: (line: string) => void, now = () => performance.now()) {
    this.#tell = tell;
    this.#now = now;
  }

  /** Says what comes next. */
  begin(what: string): void {
    this.#what = what;
    this.#told = this.#now();
  }

  /** @param share how much of it is done, from 0 to 1 */
  at(share: number): void {
    const now = this.#now();
    if (now - this.#told < INTERVAL_MS) return;
    this.#told = now;
    this.#tell(`${this.#what}: ${Math.floor(share * 100)} %`);
  }

  /** Passes things on, and tells how many of them have been. */
  *through<Item>(items: Iterable<Item>, size: number): Generator<Item> {
    let done = 0;
    for (const item of items) {
      yield item;
      done += 1;
      if (done % STRIDE === 0) this.at(done / size);
    }
  }
}

export const silent = new Progress(() => {});

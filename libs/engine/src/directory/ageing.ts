/** How long names are gathered for one query, in ms. */
const GATHER = 1_000;

/**
 * Names whose rows are to be read anew before they are too old, many with one query. With 5,000 long polls, each on a
 * queue of its own, that is one query a second where each row that had run out took one of its own: 83 a second.
 *
 * It has no timer: names go when one comes a second after the first of them. Where none comes in time, the rows run
 * out.
 */
export class Ageing {
  readonly #refresh: (account: string, names: string[]) => Promise<void>;
  #names = new Map<string, Set<string>>();
  #since = 0;
  #running = false;

  /** @param refresh - Reads these names of an account anew; a failure leaves them to run out. */
  constructor(refresh: (account: string, names: string[]) => Promise<void>) {
    this.#refresh = refresh;
  }

  add(account: string, name: string): void {
    const now = performance.now();
    if (this.#names.size === 0) this.#since = now;
    const names = this.#names.get(account);
    if (names) names.add(name);
    else this.#names.set(account, new Set([name]));
    if (now - this.#since >= GATHER && !this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    const gathered = this.#names;
    this.#names = new Map();
    this.#running = true;
    await Promise.allSettled(
      [...gathered].map(async ([account, names]) => this.#refresh(account, [...names])),
    );
    this.#running = false;
  }
}

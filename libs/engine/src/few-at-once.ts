import { SluiceError } from "./errors.ts";

/** Lets a few calls run at once: those that take memory, or connections from the hot path. Others wait, and too many are refused. */
export class FewAtOnce {
  readonly #what: string;
  readonly #maxRunning: number;
  readonly #maxWaiting: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param what - In the plural, for those that are refused. */
  constructor(what: string, { running, waiting }: { running: number; waiting: number }) {
    this.#what = what;
    this.#maxRunning = running;
    this.#maxWaiting = waiting;
  }

  /** @throws {SluiceError} `too_many_requests` when too many wait already */
  async run<Result>(call: () => Promise<Result>): Promise<Result> {
    await this.#turn();
    try {
      return await call();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }

  async #turn(): Promise<void> {
    if (this.#running < this.#maxRunning) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.length === this.#maxWaiting) {
      throw new SluiceError(
        "too_many_requests",
        `${this.#maxWaiting} ${this.#what} wait for their turn already; retry later`,
      );
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

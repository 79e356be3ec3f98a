import { AccountsInTurn } from "./accounts-in-turn.ts";
import { SluiceError } from "./errors.ts";

/**
 * Lets a few calls run at once: those that take memory, or connections from the hot path. Others wait, and too many of
 * an account are refused. The accounts that wait have their turns one after the other, so none waits for all that
 * another one asked for.
 */
export class FewAtOnce {
  readonly #what: string;
  readonly #maxRunning: number;
  readonly #maxWaiting: number;
  #running = 0;
  readonly #waiting = new AccountsInTurn<() => void>();

  /**
   * @param what - In the plural, for those that are refused.
   * @param most - `waiting`: of one account
   */
  constructor(what: string, most: { running: number; waiting: number }) {
    this.#what = what;
    this.#maxRunning = most.running;
    this.#maxWaiting = most.waiting;
  }

  /** @throws {SluiceError} `too_many_requests` when too many of the account wait already */
  async run<Result>(account: string, call: () => Promise<Result>): Promise<Result> {
    await this.#turn(account);
    try {
      return await call();
    } finally {
      this.#next();
    }
  }

  async #turn(account: string): Promise<void> {
    if (this.#running < this.#maxRunning) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.count(account) === this.#maxWaiting) {
      throw new SluiceError(
        "too_many_requests",
        `${this.#maxWaiting} ${this.#what} wait for their turn already; retry later`,
      );
    }
    await new Promise<void>((resolve) => {
      this.#waiting.add(account, resolve);
    });
  }

  #next(): void {
    const goOn = this.#waiting.next();
    if (goOn) goOn();
    else this.#running -= 1;
  }
}

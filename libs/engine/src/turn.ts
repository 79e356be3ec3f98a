import { AccountsInTurn } from "./accounts-in-turn.ts";

/** How long what takes long goes on before others have their turn, in ms. */
const SLICE = 5;
/**
 * Characters that are gone through before the clock is looked at, which takes 60 ns. What has fewer is not worth to be
 * done in steps.
 */
export const UNTIMED = 16 * 1024;

/**
 * The turn of the event loop that is under way, for work that may take seconds: it goes on for a few milliseconds, and
 * then lets timers, requests and everything else of the process go on. All work of this kind shares those milliseconds,
 * and one piece goes on in each turn: so however many there are, the loop is held no longer, and none of them waits for
 * the end of another. The accounts that have some go round, and the pieces of each within its turns: one with a hundred
 * of them has no more turns than one with a single piece.
 *
 * What is over within a turn awaits nothing.
 *
 * @example
 * if (turn.isOver(line.length)) await turn.next(account)
 */
export class Turn {
  #endsAt: number | undefined;
  #unseen = 0;
  readonly #waiting = new AccountsInTurn<() => void>();

  /** @param length - Characters that are to be gone through next; the clock is looked at every 16 KiB. Default: now. */
  isOver(length = UNTIMED): boolean {
    this.#unseen += length;
    if (this.#unseen < UNTIMED) return false;
    this.#unseen = 0;
    const now = performance.now();
    if (this.#endsAt !== undefined) return now >= this.#endsAt;
    this.#begin(now);
    return false;
  }

  /** Waits for a turn of the account that begins. */
  async next(account: string): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting.add(account, resolve);
    });
  }

  /**
   * Does something in steps that tell before each how many characters they go through.
   * @param isEnough - Asked after each turn of the account that was waited for.
   * @returns undefined when it was given up
   */
  async through<Result>(
    steps: Iterator<number, Result>,
    { account, isEnough }: { account: string; isEnough: () => boolean },
  ): Promise<{ result: Result } | undefined> {
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done === true) return { result: step.value };
      if (!this.isOver(step.value)) continue;
      await this.next(account);
      if (isEnough()) return undefined;
    }
  }

  #begin(now: number): void {
    this.#endsAt = now + SLICE;
    setImmediate(() => {
      this.#endsAt = undefined;
      const goOn = this.#waiting.next();
      if (!goOn) return;
      this.#begin(performance.now());
      goOn();
    });
  }
}

/** That of this process, which has one event loop. */
export const turn = new Turn();

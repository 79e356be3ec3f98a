/**
 * Finds out when nothing has moved for a whole visibility timeout, or up to a quarter more.
 *
 * A timer counts the quarters, so that a move is one store: there is one a message, and a look at the clock takes 250
 * ns. What the process itself stood still for does not count.
 */
export class Standstill {
  #quarters = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  /**
   * @param termMs - The visibility timeout, in ms.
   * @param found - Called when nothing has moved for so long, and each quarter from then on.
   */
  constructor(termMs: number, found: () => void) {
    this.#timer = setInterval(() => {
      this.#quarters++;
      if (this.lasts) found();
    }, termMs / 4);
  }

  get lasts(): boolean {
    // The first one had begun before the last move.
    return this.#quarters > 4;
  }

  moved(): void {
    this.#quarters = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

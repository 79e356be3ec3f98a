/** Longest wait for company, in ms. */
const LINGER = 1;
/** How soon after a round others of it are expected back, in ms. */
const RECENT = 2;
/** Whoever is this part of the last round is company enough, or another round. */
const ENOUGH = 0.8;
/**
 * How long after its beginning a round is taken to be answered soon, in ms: what is sent behind one that is not would
 * be stuck with it.
 */
const YOUNG = 10;
/** Most rounds that begin at once after waits that were in vain. */
const MOST_SKIPPED = 64;

/**
 * Says when a round has gathered enough to begin. Those that the last one served mostly come back within a millisecond,
 * the producer with its next publish, consumers with an acknowledgement and their next receive; the first of them would
 * begin a round alone, with a flush of its own, and the others would wait for that. So right after a round the next one
 * waits for about as many as it had, but no longer than {@link LINGER}; and after waits in vain not at all for 1, 2, 4
 * … {@link MOST_SKIPPED} rounds: then they come back later, or not at all.
 *
 * Measured with 1,000 publishes a second to ten queues: one round where there were three, Postgres takes a third less
 * CPU, and a message 5.6 ms from publish to receive instead of 7.4 (median), 21 instead of 31 (99th percentile).
 */
export class Gathering {
  #expected = 0;
  #endedAt = -Infinity;
  #underWay = 0;
  #beganAt = -Infinity;
  #inVain = 0;
  #skip = 0;
  #waiting: { from: number; begin: () => void } | undefined;

  /** A round of so many parts is under way. */
  began(parts: number): void {
    this.#underWay = parts;
    this.#beganAt = performance.now();
  }

  /**
   * A round ended that had so many parts whose callers wait for nothing else; 0 where the next one is not to wait for
   * anybody.
   */
  ended(parts: number): void {
    this.#expected = parts > 1 ? parts * ENOUGH : 0;
    this.#endedAt = performance.now();
  }

  /** Resolves when the next round is to begin; at once where that need not wait. */
  async enough(present: number): Promise<void> {
    if (present >= this.#expected || performance.now() - this.#endedAt > RECENT) return;
    if (this.#skip > 0) {
      this.#skip -= 1;
      return;
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.#skip = Math.min(MOST_SKIPPED, 2 ** this.#inVain);
        this.#inVain += 1;
        this.#waiting = undefined;
        resolve();
      }, LINGER);
      const begin = () => {
        clearTimeout(timer);
        this.#inVain = 0;
        this.#waiting = undefined;
        resolve();
      };
      this.#waiting = { from: this.#expected, begin };
    });
  }

  /**
   * Whether, before the round under way ends or takes its time, there is enough for another one that is about as large.
   */
  async isEnoughDuring(round: Promise<void>, present: number): Promise<boolean> {
    const from = Math.max(1, this.#underWay * ENOUGH);
    if (present >= from && this.#isYoung) return true;
    const enough = new Promise<true>((resolve) => {
      const begin = () => {
        if (this.#isYoung) resolve(true);
      };
      this.#waiting = { from, begin };
    });
    try {
      return await Promise.race([enough, round.then(() => false)]);
    } finally {
      this.#waiting = undefined;
    }
  }

  get #isYoung(): boolean {
    return performance.now() - this.#beganAt < YOUNG;
  }

  /** One more came; so many are there now. */
  came(present: number): void {
    if (this.#waiting && present >= this.#waiting.from) this.#waiting.begin();
  }
}

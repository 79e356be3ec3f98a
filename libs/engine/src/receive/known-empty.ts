/** When somebody looked at a queue, by the clock of this process in ms, and after how many signals. */
export interface Look {
  at: number;
  signals: number;
}

/**
 * How long a look that found the queue empty, or a claim that left it empty, counts for receives that come to wait, in
 * ms: until the next look, or two.
 */
const COUNTS_FOR = 1_500;
const NEVER: Look = { at: -Infinity, signals: 0 };

/**
 * What a process knows of a queue being empty, so that whoever comes to wait need not ask: a look that found nothing,
 * as long as no signal came since. What becomes visible by time alone is signalled by the waiting room, which looks for
 * it once a second.
 */
export class KnownEmpty {
  #signals = 0;
  #empty = NEVER;
  #watchedAt = -Infinity;

  /**
   * The queue may have visible messages. A signal that comes during a look may be about what it was too early to see.
   */
  signal(): void {
    this.#signals += 1;
  }

  /** A look that begins now, to be told of by {@link sawNothing} if it finds nothing. */
  look(at = performance.now()): Look {
    return { at, signals: this.#signals };
  }

  /**
   * The look of the waiting room, which sees as well what will soon be visible; it may begin at once for many queues.
   */
  watch(at = performance.now()): Look {
    this.#watchedAt = at;
    return this.look(at);
  }

  /** That look found nothing that is visible, or will be before the next one. */
  sawNothing(look: Look): void {
    this.#empty = look;
  }

  /** Whether a signal came since the look began. */
  signalledSince({ signals }: Look): boolean {
    return signals !== this.#signals;
  }

  forget(): void {
    this.#empty = NEVER;
  }

  /** Whether there is nothing, as far as anybody here knows. */
  get isSo(): boolean {
    return !this.signalledSince(this.#empty) && isRecent(this.#empty.at);
  }

  /** Whether the waiting room signals what becomes visible by time: it has looked lately. */
  get isWatched(): boolean {
    return isRecent(this.#watchedAt);
  }
}

function isRecent(at: number): boolean {
  return performance.now() - at < COUNTS_FOR;
}

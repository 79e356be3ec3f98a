/**
 * What one claim saw of the order in which messages become visible; times in ms since the epoch by the database clock.
 */
export interface ScanReport {
  /** When the claim started. */
  now: number;
  /**
   * `visible_at` of the first slice that it found, or that is about to become visible; undefined where there is none.
   */
  first: number | undefined;
}

interface Mark {
  at: number;
  /** Nothing was left below this. */
  position: number;
  /** Slices that claims have taken since the mark before. */
  slices: number;
}

/** How long a claim still looks at what it has passed, in ms: longer than nearly every commit takes. */
const SLACK = 1_500;
/** In a busy queue that would be thousands of slices, so the slack ends after this many, but not before so many ms. */
const ENOUGH_SLICES = 250;
const LEAST_SLACK = 100;
/** Claims that share a mark, in ms. */
const MARK = 25;
/** What takes longer than this to commit, in ms, is left to the full look. */
const NEARLY_ALL = 10_000;

/**
 * Where the scan of a queue starts: a lower bound of `visible_at` below which hardly anything can be visible.
 *
 * Each slice leaves two dead entries in the index that claims read, at the time it was sent and at its deadline. While
 * some transaction holds the xmin horizon, neither vacuum nor a scan may remove them, so a claim that began at the
 * front would walk every entry since that transaction began. It starts at the floor instead.
 *
 * New slices never become visible before the statement that writes them started, and one that somebody has locked keeps
 * the floor where it is, so what can turn up below are those whose commit took longer than the slack. The waiting room
 * looks for such stragglers once a second ({@link near}) and, at its leisure, from the very front.
 *
 *     -infinity ───── full look ───── near ───── once a second ───── start ── claims ──▶ now
 */
export class ScanFloor {
  /** Oldest first. */
  #marks: Mark[] = [];
  /** The lowest position of all marks: asked for several times a claim, of sixty marks in a busy queue. */
  #start = -Infinity;
  /** Where the scan started, second by second; `at` by the clock of this process, in ms. */
  #passed: { at: number; start: number }[] = [];

  /** Where a claim starts; -Infinity as long as nothing is known. */
  get start(): number {
    return this.#start;
  }

  /** Where the scan started so long ago that nearly everything that was under way then has ended. */
  get near(): number {
    return this.#passed[0]?.start ?? -Infinity;
  }

  /** A claim that began at `from` has taken so many slices. */
  advance({ now, first }: ScanReport, slices: number, from = this.start): void {
    // Lowered while the claim was under way, which therefore says nothing of what is below.
    if (from > this.start) return;
    const position = Math.floor(Math.min(first ?? now, now));
    // The clock of the database was put back: what is written now lies below everything that is known.
    if (now < (this.#marks.at(-1)?.at ?? now) - SLACK) this.forget();
    const last = this.#marks.at(-1);
    if (!last) this.#begin({ at: now, position: position - SLACK, slices });
    else if (now - last.at < MARK) {
      last.position = Math.min(last.position, position);
      last.slices += slices;
    } else this.#marks.push({ at: now, position, slices });
    this.#settle(now);
    this.#start = lowestOf(this.#marks);
  }

  /** Something is visible below: the next claims start there. */
  lower(position: number, now: number): void {
    if (position >= this.#start) return;
    this.#start = Math.floor(position);
    this.#marks.push({ at: now, position: this.#start, slices: 0 });
  }

  /** Everything may be visible again: it was paused, or is kept longer. */
  forget(): void {
    this.#marks = [];
    this.#passed = [];
    this.#start = -Infinity;
  }

  /** To be called once a second: notes where the scan starts, for `near`. */
  note(): void {
    if (this.#marks.length === 0) return;
    const at = performance.now();
    const { start } = this;
    while (at - (this.#passed[1]?.at ?? at) > NEARLY_ALL) this.#passed.shift();
    // Where nothing has moved, the entry of then says it: queues that only wait, by the thousand, write nothing.
    if (this.#passed.at(-1)?.start !== start) this.#passed.push({ at, start });
  }

  #begin(mark: Mark): void {
    this.#marks.push(mark);
    this.#passed.push({ at: performance.now(), start: mark.position - NEARLY_ALL });
  }

  /** Drops marks whose slack is over. */
  #settle(now: number): void {
    let since = this.#marks.reduce((sum, mark) => sum + mark.slices, 0);
    for (;;) {
      const [oldest, next] = this.#marks;
      if (!oldest || !next) return;
      since -= oldest.slices;
      const age = now - next.at;
      if (age <= SLACK && (age <= LEAST_SLACK || since < ENOUGH_SLICES)) return;
      this.#marks.shift();
    }
  }
}

function lowestOf(marks: readonly Mark[]): number {
  let lowest = marks[0]?.position ?? -Infinity;
  for (const { position } of marks) if (position < lowest) lowest = position;
  return lowest;
}

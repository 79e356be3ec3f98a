import type { ClockJump } from "../history/history.ts";

/**
 * What the clock of Postgres showed when, in ns of the history; all that it says is to within {@link clockTolerance}.
 */
export class DatabaseClock {
  readonly #jumps: readonly ClockJump[];
  /** By how many milliseconds it was ahead of the history, and between which two moments at most. */
  readonly #phases: { from: number; until: number; ahead: number }[] = [];

  constructor(wallOffsetMs: number, jumps: readonly ClockJump[] = []) {
    this.#jumps = jumps;
    let [from, ahead] = [-Infinity, wallOffsetMs];
    for (const { begin, end, by } of jumps) {
      this.#phases.push({ from, until: end, ahead });
      [from, ahead] = [begin, ahead + by];
    }
    this.#phases.push({ from, until: Infinity, ahead });
  }

  /** The earliest moment at which it showed so many milliseconds since the epoch. */
  earliest(ms: number): number {
    return this.#bounds(ms)[0];
  }

  /** The latest one: where the clock was put back it showed the same time twice. */
  latest(ms: number): number {
    return this.#bounds(ms)[1];
  }

  /** By how much it was put forward between two moments, at most: what was to last so long was over sooner. */
  skipped(from: number, until: number): number {
    return this.#most(from, until, 1e6);
  }

  /** By how much it was put back, likewise: what was to last so long went on. */
  repeated(from: number, until: number): number {
    return this.#most(from, until, -1e6);
  }

  /** Of any two moments in between: what it was put forward and then back again is no excuse twice. */
  #most(from: number, until: number, unit: number): number {
    let [sum, most] = [0, 0];
    for (const { begin, end, by } of this.#jumps) {
      if (begin >= until || end <= from) continue;
      sum = Math.max(0, sum + by * unit);
      most = Math.max(most, sum);
    }
    return most;
  }

  #bounds(ms: number): [earliest: number, latest: number] {
    let [earliest, latest] = [Infinity, -Infinity];
    for (const { from, until, ahead } of this.#phases) {
      const moment = (ms - ahead) * 1e6;
      if (moment < from - clockTolerance || moment > until + clockTolerance) continue;
      earliest = Math.min(earliest, moment);
      latest = Math.max(latest, moment);
    }
    // One that it passed over: nothing of Sluice's has such a time, and nothing is known of it.
    return earliest > latest ? [-Infinity, Infinity] : [earliest, latest];
  }
}

/** Between the two clocks, and for times of Postgres being cut to milliseconds, ns. */
export const clockTolerance = 25e6;

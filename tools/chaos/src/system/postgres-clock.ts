import type { Sql } from "postgres";
import type { ClockJump } from "../history/history.ts";
import { now } from "../history/log.ts";

/** The clock of a Postgres in which one was installed (tools/stack), put forward and back for all sessions at once. */
export class PostgresClock {
  readonly jumps: ClockJump[] = [];
  #out = 0;

  /** By how many milliseconds it is out. */
  get out(): number {
    return this.#out;
  }

  /**
   * Has it be out by so many milliseconds.
   *
   * @param run - runs what it is given, again and again where it cannot tell whether it is done
   * @returns By how many it was put forward.
   */
  async jumpTo(out: number, run: (jump: (sql: Sql) => Promise<void>) => Promise<void>) {
    const begin = now();
    const by = out - this.#out;
    this.#out = out;
    try {
      await run(async (sql) => {
        await sql`UPDATE public.test_clock SET shift = make_interval(secs => ${out / 1_000}::float8)`;
      });
    } finally {
      this.jumps.push({ begin, end: now(), by });
    }
    return by;
  }
}

import type { Sql } from "@sluice/database";

/** The clock of one test database, which only goes on when it is told to; see installClock of @sluice/stack. */
export interface TestClock {
  /**
   * Lets seconds pass for everything that asks the database for the time, and a millisecond: what is to become visible
   * in so many seconds does so by its end, since deadlines are rounded up to whole milliseconds.
   */
  advance: (seconds: number) => Promise<void>;
  /** No time passes from now on but what it is advanced by, until it goes on: however long a test takes. */
  stop: () => Promise<void>;
  goOn: () => Promise<void>;
}

export function testClock(sql: Sql): TestClock {
  return {
    async advance(seconds) {
      await sql`UPDATE public.test_clock SET shift = shift + make_interval(secs => ${seconds + 0.001}::float8)`;
    },
    async stop() {
      await sql`UPDATE public.test_clock SET stopped_at = pg_catalog.clock_timestamp()`;
    },
    async goOn() {
      await sql`UPDATE public.test_clock SET stopped_at = NULL`;
    },
  };
}

import { connectDatabase, type Sql } from "@sluice/database";

/** The clock of one test database, which only goes on when it is told to; see {@link installClock}. */
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

/**
 * Puts a `clock_timestamp()` of its own before that of Postgres: real time plus a shift.
 *
 * All time that decides anything is the database's, so a test lets minutes pass by one UPDATE, with every row and
 * every receipt handle as it was. To be installed before the migrations run and before anybody else connects.
 */
export async function installClock(url: string): Promise<void> {
  await using database = connectDatabase({ url, pool: 1, name: "test-clock" });
  await database.sql.unsafe(`
    CREATE TABLE public.test_clock (shift interval NOT NULL, stopped_at timestamptz);
    INSERT INTO public.test_clock VALUES ('0', NULL);
    CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
    BEGIN RETURN (SELECT coalesce(stopped_at, pg_catalog.clock_timestamp()) + shift FROM public.test_clock); END $$;
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$`);
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

import postgres, { type Sql } from "postgres";
import type { ClockJump } from "../history/history.ts";
import { now } from "../history/log.ts";

/**
 * The clock of Postgres, put forward and back: a `clock_timestamp()` before its own, the only time that Sluice goes by.
 * It jumps for all sessions at once, as when a standby takes over whose clock is out.
 */
export class PostgresClock {
  readonly jumps: ClockJump[] = [];
  #out = 0;

  /** @param url - of the superuser, before there is any table */
  static async install(url: string): Promise<PostgresClock> {
    const sql = postgres(url, { max: 1 });
    await sql.unsafe(`
      CREATE TABLE public.chaos_clock (out_by interval NOT NULL);
      INSERT INTO public.chaos_clock VALUES ('0');
      GRANT SELECT ON public.chaos_clock TO PUBLIC;
      CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
      BEGIN RETURN (SELECT pg_catalog.clock_timestamp() + out_by FROM public.chaos_clock); END $$;
      DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$`);
    await sql.end();
    return new PostgresClock();
  }

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
        await sql`UPDATE public.chaos_clock SET out_by = make_interval(secs => ${out / 1_000}::float8)`;
      });
    } finally {
      this.jumps.push({ begin, end: now(), by });
    }
    return by;
  }
}

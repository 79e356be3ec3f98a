import connect from "postgres";

/**
 * Puts a `clock_timestamp()` of its own before that of Postgres: real time, or that at which it was stopped, plus a
 * shift. Both stand in the one row of `public.test_clock`, so that an UPDATE moves the time of all sessions at once.
 *
 * All time that decides anything is the database's: so minutes pass, or a standby takes over whose clock is out, with
 * every row and every receipt handle as it was. To be installed before the migrations run and before anybody else
 * connects.
 */
export async function installClock(url: string): Promise<void> {
  const sql = connect(url, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(`
      CREATE TABLE public.test_clock (shift interval NOT NULL, stopped_at timestamptz);
      INSERT INTO public.test_clock VALUES ('0', NULL);
      GRANT SELECT ON public.test_clock TO PUBLIC;
      CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
      BEGIN RETURN (SELECT coalesce(stopped_at, pg_catalog.clock_timestamp()) + shift FROM public.test_clock); END $$;
      DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$`);
  } finally {
    await sql.end();
  }
}

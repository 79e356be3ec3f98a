import type { Sql } from "./connect.ts";

/**
 * Which settings of the server let a power cut take what it has told to be committed, or the whole database; all are on
 * by default.
 */
export async function unsafeSettings(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    SELECT name FROM unnest('{fsync,full_page_writes}'::text[]) AS name WHERE current_setting(name) = 'off'`;
  return rows.map(({ name }) => name);
}

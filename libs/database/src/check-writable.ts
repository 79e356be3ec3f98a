import type { Sql } from "./connect.ts";

/**
 * Asks whether the database takes writes; rejects where it does not answer, or is the standby that a primary has
 * become.
 */
export async function checkWritable(sql: Sql): Promise<void> {
  const rows = await sql`SELECT WHERE current_setting('transaction_read_only') = 'on'`;
  if (rows.length > 0) throw new Error("the database is read-only");
}

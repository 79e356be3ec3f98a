import type { Sql } from "@sluice/database";

/** What keeps dead rows from being removed, and every index scan reading them. */
export interface HorizonHolder {
  kind: "transaction" | "replication slot" | "prepared transaction";
  /** Process id, name of the slot, or global id of the prepared transaction. */
  name: string;
  applicationName: string | null;
  /** The oldest transaction whose rows it may still want to see. */
  xmin: string;
  /** How long it has been at it, by the clock of Postgres. A slot does not tell: 0. */
  seconds: number;
}

/**
 * Remembers under which horizon rows were made dead, or were to be removed, in vain. While the same xmin holds it, what
 * is dead stays where it is, and every scan and every further row that dies only writes more.
 */
export class StandingHorizon {
  readonly #xmins = new Map<string, string>();

  /** Notes who held the horizon, if anybody, when something was done in vain to a table; undefined forgets it. */
  note(table: string, holder: Pick<HorizonHolder, "xmin"> | undefined): void {
    if (holder) this.#xmins.set(table, holder.xmin);
    else this.#xmins.delete(table);
  }

  /** Whether the horizon is still where it was then. */
  stands(table: string, holder: Pick<HorizonHolder, "xmin"> | undefined): boolean {
    return holder !== undefined && this.#xmins.get(table) === holder.xmin;
  }
}

/**
 * Whether there are sessions in this database of which this role is not shown whether they hold anything: members of
 * pg_read_all_stats are.
 */
export async function hasHiddenSessions(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ hidden: boolean }[]>`
    SELECT EXISTS (
      SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND usesysid IS NOT NULL AND NOT pg_has_role(usesysid, 'USAGE')
    ) AND NOT pg_has_role('pg_read_all_stats', 'USAGE') AS hidden`;
  return row?.hidden ?? false;
}

/**
 * Who holds the oldest xmin, if anybody does but this session and short-lived ones of the server. (Sessions of other
 * users show theirs to members of pg_read_all_stats only.)
 */
export async function findHorizonHolder(sql: Sql): Promise<HorizonHolder | undefined> {
  const [row] = await sql<HorizonHolder[]>`
    SELECT kind, name, application_name AS "applicationName", xmin::text AS xmin, coalesce(seconds, 0)::float8 AS seconds
    FROM (
      SELECT 'transaction' AS kind, pid::text AS name, application_name, coalesce(backend_xmin, backend_xid) AS xmin,
             extract(epoch FROM now() - xact_start) AS seconds
      FROM pg_stat_activity
      WHERE (datname = current_database() OR datname IS NULL) AND pid <> pg_backend_pid()
        AND backend_type IN ('client backend', 'walsender') AND query NOT ILIKE 'vacuum%'
      UNION ALL
      SELECT 'replication slot', slot_name::text, NULL, xmin, NULL FROM pg_replication_slots
      UNION ALL
      SELECT 'prepared transaction', gid, NULL, transaction, extract(epoch FROM now() - prepared)
      FROM pg_prepared_xacts WHERE database = current_database()
    ) holders
    WHERE xmin IS NOT NULL
    ORDER BY age(xmin) DESC LIMIT 1`;
  return row;
}

import type { Sql } from "@sluice/database";
import type { Logger } from "@sluice/runtime";

import { findHorizonHolder, StandingHorizon } from "./horizon.ts";

/** Tables whose rows come and go with messages. */
export const HOT_TABLES = [
  "slices",
  "fifo_slices",
  "fifo_groups",
  "batches",
  "outbox",
  "idempotency_keys",
  "deduplication_ids",
  "topic_deduplication_ids",
  "receive_attempts",
  "archived_batches",
  "queue_totals",
  "queue_delays",
] as const;

/** Rows that make a vacuum worth its scan of the indexes: this many, and a share of those that live. */
const DEAD_ROWS = 1_000;
const DEAD_SHARE = 0.1;
/**
 * Rows inserted, after which the pages should be marked as visible to all: a count that reads an index need not look at
 * the rows then. Nobody reads payloads that way, most are gone within minutes, and to mark their pages writes each of
 * them once more (680 MB of log for the payloads of a minute and a half).
 */
const NEW_ROWS = 100_000;
const NEW_SHARE = 0.5;
/**
 * A table larger than this, in bytes, and so much for each row, is vacuumed although few rows are dead: the space at
 * its end is given back only when nothing is there, and the row that was in the way may have been a single one. Not
 * more often than every so many seconds, since what is in the way may stay.
 */
const LARGE_TABLE = 16 * 1024 * 1024;
const LARGE_ROW = 8_192;
const LARGE_EVERY = 30;
/** How long a table whose vacuum failed is left alone, ms. */
const REST = 3_600_000;

interface Worn {
  table: string;
  dead: number;
  /** Far larger than its rows need. */
  hollow: boolean;
}

/**
 * Vacuums the hot tables that need it: the automatic one looks once a minute, with few workers that may be busy for
 * hours with somebody else's tables. Rows that someone may still want to see stay, and cost a whole scan in vain: a
 * table whose dead rows did not go is left alone until the horizon has moved on. One whose vacuum fails, or takes
 * longer than a statement may, rests for an hour: the others have their turn.
 */
export class Vacuum {
  readonly #sql: Sql;
  readonly #logger: Logger;
  readonly #horizon = new StandingHorizon();
  /** Table → until when it is not tried, by the clock of this process. */
  readonly #restsUntil = new Map<string, number>();

  constructor({ sql, logger }: { sql: Sql; logger: Logger }) {
    this.#sql = sql;
    this.#logger = logger;
  }

  /** @returns The tables that were vacuumed. */
  async runOnce(signal?: AbortSignal): Promise<string[]> {
    const sql = this.#sql;
    const done: string[] = [];
    // What the clean-up has just deleted on this connection is counted up to a second later: after a vacuum that has
    // removed it, as dead rows of a table that has none.
    await sql`SELECT pg_stat_force_next_flush()`;
    for (const { table, dead, hollow } of await findWorn(sql)) {
      if (signal?.aborted) return done;
      const holder = await findHorizonHolder(sql);
      if (this.#horizon.stands(table, holder)) continue;
      if ((this.#restsUntil.get(table) ?? 0) > performance.now()) continue;
      if (!(await this.#vacuum(table, hollow))) continue;
      done.push(table);
      const left = await deadRowsOf(sql, table);
      this.#horizon.note(table, left > dead / 2 ? holder : undefined);
    }
    return done;
  }

  /** @returns Whether it was done. */
  async #vacuum(table: string, hollow: boolean): Promise<boolean> {
    const sql = this.#sql;
    try {
      // Where few rows are dead a vacuum spares itself the indexes: their pointers stay, and with them the end of the
      // table.
      if (hollow) await sql`VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON) ${sql(table)}`;
      else await sql`VACUUM (SKIP_LOCKED) ${sql(table)}`;
      return true;
    } catch (err) {
      // Without a connection no other table fares better.
      if (!(err instanceof sql.PostgresError && err.severity === "ERROR")) throw err;
      this.#restsUntil.set(table, performance.now() + REST);
      this.#logger.warn(
        { event: "maintenance.table-failed", table, err },
        `${table} was not vacuumed, and is not tried again for an hour`,
      );
      return false;
    }
  }
}

/** A table counts with what it stores out of line, which is vacuumed with it. */
async function findWorn(sql: Sql): Promise<Worn[]> {
  return await sql<Worn[]>`
    SELECT t.relname AS table, s.n_dead_tup::float8 AS dead, hollow
    FROM pg_class t
    JOIN pg_stat_all_tables s ON s.relid = t.oid
    LEFT JOIN pg_stat_all_tables o ON o.relid = t.reltoastrelid
    CROSS JOIN LATERAL (
      SELECT pg_relation_size(t.oid) > ${LARGE_TABLE}::bigint + ${LARGE_ROW}::int * (s.n_live_tup + s.n_dead_tup)
             OR coalesce(pg_relation_size(o.relid) > ${LARGE_TABLE}::bigint + ${LARGE_ROW}::int * (o.n_live_tup + o.n_dead_tup), false) AS hollow
    ) size
    WHERE t.relnamespace = 'public'::regnamespace AND t.relname = ANY(string_to_array(${HOT_TABLES.join()}, ','))
      AND (s.n_dead_tup > ${DEAD_ROWS}::int + ${DEAD_SHARE}::float8 * s.n_live_tup
           OR o.n_dead_tup > ${DEAD_ROWS}::int + ${DEAD_SHARE}::float8 * o.n_live_tup
           OR t.relname <> 'batches' AND s.n_ins_since_vacuum > ${NEW_ROWS}::int + ${NEW_SHARE}::float8 * s.n_live_tup
           OR hollow AND coalesce(s.last_vacuum < clock_timestamp() - make_interval(secs => ${LARGE_EVERY}::int), true))
    ORDER BY s.n_dead_tup DESC`;
}

async function deadRowsOf(sql: Sql, table: string): Promise<number> {
  const [row] = await sql<{ dead: number }[]>`
    SELECT n_dead_tup::float8 AS dead FROM pg_stat_all_tables
    WHERE schemaname = 'public' AND relname = ${table}::text`;
  return row?.dead ?? 0;
}

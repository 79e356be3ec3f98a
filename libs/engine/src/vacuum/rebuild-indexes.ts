import { isLockNotAvailable, type Sql } from "@sluice/database";

import { HOT_TABLES } from "./vacuum-tables.ts";

/** Bytes: an index smaller than this is no burden, whatever is in it. */
const SMALL_INDEX = 8 * 1024 * 1024;
/** Bytes: a table smaller than this is read in milliseconds, for which its writers can wait. */
const SMALL_TABLE = 16 * 1024 * 1024;
/** Bytes of a fresh index for each row of ours, generously, and how much larger it may get. */
const ROW = 64;
const BLOAT = 3;
/** What a plain rebuild waits at most for its locks, and everybody behind it. */
const LOCK_TIMEOUT = "100ms";

interface Index {
  name: string;
  bytes: number;
  /** Of its table, dead ones included. */
  rows: number;
  /** Whether its table is so small that a rebuild takes no longer than a hiccup. */
  small: boolean;
}

/**
 * Rebuilds indexes that are far larger than their rows need: pages of a B-tree are used again, but never given back, and
 * a queue that once held millions would keep the index of millions.
 *
 * - A plain REINDEX where the table is small: milliseconds under a lock. Who cannot have the lock at once tries again later.
 * - REINDEX CONCURRENTLY otherwise, which waits for every transaction that is older: only while none is long.
 */
export class IndexRebuilder {
  readonly #sql: Sql;
  /** Index → what it was when it was fresh. */
  readonly #fresh = new Map<string, Pick<Index, "bytes" | "rows">>();

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** @returns The indexes that were rebuilt. */
  async runOnce({ horizonIsHeld }: { horizonIsHeld: boolean }): Promise<string[]> {
    const sql = this.#sql;
    const rebuilt: string[] = [];
    if (!horizonIsHeld) await dropLeftOver(sql);
    for (const index of await findBloated(sql)) {
      const { name, rows, small } = index;
      if (!this.#mayShrink(index) || (!small && horizonIsHeld)) continue;
      if (small && !(await rebuildAtOnce(sql, name))) continue;
      if (!small) await sql`REINDEX INDEX CONCURRENTLY ${sql(name)}`;
      this.#fresh.set(name, { bytes: await sizeOf(sql, name), rows });
      rebuilt.push(name);
    }
    return rebuilt;
  }

  /**
   * One that needs more than we think is not rebuilt for ever: only when it has doubled since, or half of its rows have gone, as
   * they do several times while a million keys expire.
   */
  #mayShrink({ name, bytes, rows }: Index): boolean {
    const fresh = this.#fresh.get(name);
    return fresh === undefined || bytes > 2 * fresh.bytes || rows < fresh.rows / 2;
  }
}

async function sizeOf(sql: Sql, index: string): Promise<number> {
  const [row] = await sql<{ bytes: number }[]>`
    SELECT pg_relation_size(${index}::text::regclass)::float8 AS bytes`;
  return row?.bytes ?? 0;
}

async function findBloated(sql: Sql): Promise<Index[]> {
  return await sql<Index[]>`
    SELECT i.indexrelid::regclass::text AS name, pg_relation_size(i.indexrelid)::float8 AS bytes, size.rows,
           pg_relation_size(r.oid) <= ${SMALL_TABLE}::bigint AS small
    FROM pg_class t
    JOIN pg_class r ON r.oid IN (t.oid, t.reltoastrelid)
    JOIN pg_index i ON i.indrelid = r.oid
    JOIN pg_stat_all_tables s ON s.relid = r.oid
    CROSS JOIN LATERAL (SELECT greatest(s.n_live_tup + s.n_dead_tup, r.reltuples)::float8 AS rows) size
    WHERE t.relnamespace = 'public'::regnamespace AND t.relname = ANY(string_to_array(${HOT_TABLES.join()}, ','))
      AND pg_relation_size(i.indexrelid) > ${SMALL_INDEX}::bigint + ${BLOAT}::int * ${ROW}::int * size.rows
    ORDER BY pg_relation_size(i.indexrelid) DESC`;
}

async function rebuildAtOnce(sql: Sql, index: string): Promise<boolean> {
  try {
    await sql.begin(async (tx) => {
      await tx`SELECT set_config('lock_timeout', ${LOCK_TIMEOUT}, true)`;
      await tx`REINDEX INDEX ${tx(index)}`;
    });
    return true;
  } catch (error) {
    if (isLockNotAvailable(error)) return false;
    throw error;
  }
}

/** What a rebuild beside the old index leaves when it dies: written with every row and never read. */
async function dropLeftOver(sql: Sql): Promise<void> {
  const rows = await sql<{ name: string }[]>`
    SELECT i.indexrelid::regclass::text AS name
    FROM pg_class t
    JOIN pg_index i ON i.indrelid = t.oid
    JOIN pg_class c ON c.oid = i.indexrelid
    WHERE t.relnamespace = 'public'::regnamespace AND t.relname = ANY(string_to_array(${HOT_TABLES.join()}, ','))
      AND NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'
      AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = t.oid)`;
  for (const { name } of rows) await sql`DROP INDEX CONCURRENTLY IF EXISTS ${sql(name)}`;
}

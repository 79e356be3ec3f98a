import { isLockNotAvailable, type Sql, type Transaction } from "@sluice/database";
import type { Logger } from "@sluice/runtime";

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
/** How long what cannot be rebuilt is left alone, ms. */
const REST = 3_600_000;

interface Index {
  /** With its schema, where that is another. It stays, while a rebuild beside it makes another index of it. */
  name: string;
  /** Its table, or that which its rows are the long values of. */
  table: string;
  /** Whether it is the index over long values, which Postgres keeps in a table of its own. */
  outOfLine: boolean;
  bytes: number;
  /** Of its table, dead ones included. */
  rows: number;
  /** Whether its table is so small that a rebuild takes no longer than a hiccup. */
  small: boolean;
}

/**
 * Rebuilds indexes that are far larger than their rows need: pages of a B-tree are used again, but never given back,
 * and a queue that once held millions would keep the index of millions.
 *
 * - A plain REINDEX where the table is small: milliseconds under a lock. Who cannot have the lock at once tries again
 *   later.
 * - REINDEX CONCURRENTLY otherwise, which waits for every transaction that is older: only while none is long.
 * - What cannot be rebuilt is told, and left alone for an hour: the others have their turn.
 */
export class IndexRebuilder {
  readonly #sql: Sql;
  readonly #logger: Logger;
  readonly #smallIndex: number;
  /** Index → what it was when it was fresh. */
  readonly #fresh = new Map<string, Pick<Index, "bytes" | "rows">>();
  /** Index → until when it is not tried, by the clock of this process. */
  readonly #restsUntil = new Map<string, number>();

  constructor(options: { sql: Sql; logger: Logger; smallIndex?: number | undefined }) {
    const { sql, logger, smallIndex = SMALL_INDEX } = options;
    this.#sql = sql;
    this.#logger = logger;
    this.#smallIndex = smallIndex;
  }

  /** @returns The indexes that were rebuilt. */
  async runOnce({ horizonIsHeld }: { horizonIsHeld: boolean }): Promise<string[]> {
    const sql = this.#sql;
    const rebuilt: string[] = [];
    if (!horizonIsHeld) await dropLeftOver(sql);
    for (const index of await findBloated(sql, this.#smallIndex)) {
      if (!this.#mayShrink(index) || (!index.small && horizonIsHeld)) continue;
      if (await this.#attempt(index)) rebuilt.push(index.name);
    }
    return rebuilt;
  }

  async #attempt(index: Index): Promise<boolean> {
    const { name, rows } = index;
    try {
      if (!(await rebuild(this.#sql, index))) return false;
      this.#fresh.set(name, { bytes: await sizeOf(this.#sql, name), rows });
      return true;
    } catch (err) {
      this.#restsUntil.set(name, performance.now() + REST);
      this.#logger.warn(
        { event: "maintenance.index-failed", index: name, err },
        `${name} was not rebuilt, and is not tried again for an hour`,
      );
      return false;
    }
  }

  /**
   * One that needs more than we think is not rebuilt for ever: only when it has doubled since, or half of its rows have
   * gone, as they do several times while a million keys expire.
   */
  #mayShrink({ name, bytes, rows }: Index): boolean {
    if (performance.now() < (this.#restsUntil.get(name) ?? 0)) return false;
    const fresh = this.#fresh.get(name);
    return fresh === undefined || bytes > 2 * fresh.bytes || rows < fresh.rows / 2;
  }
}

async function sizeOf(sql: Sql, index: string): Promise<number> {
  const [row] = await sql<{ bytes: number }[]>`
    SELECT pg_relation_size(oid)::float8 AS bytes FROM pg_class WHERE relkind = 'i' AND oid::regclass::text = ${index}`;
  return row?.bytes ?? 0;
}

async function findBloated(sql: Sql, smallIndex: number): Promise<Index[]> {
  return await sql<Index[]>`
    SELECT i.indexrelid::regclass::text AS name, t.relname AS table, r.oid <> t.oid AS "outOfLine",
           pg_relation_size(i.indexrelid)::float8 AS bytes, size.rows,
           pg_relation_size(r.oid) + CASE WHEN r.oid = t.oid THEN 0 ELSE pg_relation_size(t.oid) END <= ${SMALL_TABLE}::bigint AS small
    FROM pg_class t
    JOIN pg_class r ON r.oid IN (t.oid, t.reltoastrelid)
    JOIN pg_index i ON i.indrelid = r.oid
    JOIN pg_stat_all_tables s ON s.relid = r.oid
    CROSS JOIN LATERAL (SELECT greatest(s.n_live_tup + s.n_dead_tup, r.reltuples)::float8 AS rows) size
    WHERE t.relnamespace = 'public'::regnamespace AND t.relname = ANY(string_to_array(${HOT_TABLES.join()}, ','))
      AND i.indisvalid AND pg_relation_size(i.indexrelid) > ${smallIndex}::bigint + ${BLOAT}::int * ${ROW}::int * size.rows
    ORDER BY pg_relation_size(i.indexrelid) DESC`;
}

/** False where somebody held what it needs. */
async function rebuild(sql: Sql, index: Index): Promise<boolean> {
  if (index.small) return await rebuildAtOnce(sql, index);
  await sql`REINDEX ${kindOf(sql, index)} CONCURRENTLY ${nameOf(sql, index)}`;
  return true;
}

async function rebuildAtOnce(sql: Sql, index: Index): Promise<boolean> {
  try {
    await sql.begin(async (tx) => {
      await tx`SELECT set_config('lock_timeout', ${LOCK_TIMEOUT}, true)`;
      await tx`REINDEX ${kindOf(tx, index)} ${nameOf(tx, index)}`;
    });
    return true;
  } catch (error) {
    if (isLockNotAvailable(error)) return false;
    throw error;
  }
}

/*
 * An index over long values lies in a schema that is closed to all but superusers: to the owner of the table it is rebuilt by way of
 * the table, with its other indexes.
 */
function kindOf(sql: Sql | Transaction, { outOfLine }: Index) {
  return outOfLine ? sql`TABLE` : sql`INDEX`;
}

function nameOf(sql: Sql | Transaction, { outOfLine, table, name }: Index) {
  return sql(outOfLine ? table : name);
}

/**
 * What a rebuild beside the old index leaves when it dies: written with every row and never read. That of an index over
 * long values only a superuser can drop.
 */
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

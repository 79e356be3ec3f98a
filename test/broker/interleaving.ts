import { setImmediate } from "node:timers/promises";

import { statement, type Database, type Sql } from "@sluice/database";

/** Something that is stopped until it is let go. */
export interface Held {
  letGo: () => Promise<void>;
}

/** Runs a statement in a transaction that stays open, with the locks it took, and ends as told. */
export async function holdWith(
  sql: Sql,
  statement: string,
  end: "ROLLBACK" | "COMMIT" = "ROLLBACK",
): Promise<Held> {
  let letGo = () => {};
  const ended = new Promise<void>((resolve) => (letGo = resolve));
  let transaction: Promise<unknown> = Promise.resolve();
  await new Promise<void>((resolve, reject) => {
    transaction = sql
      .begin(async (tx) => {
        await tx.unsafe(statement);
        resolve();
        await ended;
        if (end === "ROLLBACK") throw new RollBack();
      })
      .catch((error: unknown) => {
        if (!(error instanceof RollBack)) reject(error as Error);
      });
  });
  return {
    async letGo() {
      letGo();
      await transaction;
    },
  };
}

class RollBack extends Error {}

/** Stops every claim in its middle: its snapshot is taken, and it has found nothing yet. */
export async function holdClaims(sql: Sql): Promise<Held> {
  return await holdWith(sql, "ALTER SEQUENCE lease_ids CACHE 32");
}

/** Stops every claim when it has locked its slices and not yet changed them. */
export async function holdClaimsWithLocks(sql: Sql): Promise<Held> {
  return await holdAtGate(sql, "claims", "UPDATE ON slices", "WHEN (new.lease <> old.lease)");
}

/** Stops whatever delivers to a standard queue. */
export async function holdDeliveries(sql: Sql): Promise<Held> {
  return await holdAtGate(sql, "deliveries", "INSERT ON slices");
}

/** Stops moves to dead-letter queues that standard queues make, when they have their rows. */
export async function holdDeadLetters(sql: Sql): Promise<Held> {
  return await holdAtGate(
    sql,
    "letters",
    "INSERT ON queue_ledger",
    "WHEN (new.kind = 'deadLettered')",
  );
}

/** Stops whatever deletes a queue, when it has locked its row. */
export async function holdDeletions(sql: Sql): Promise<Held> {
  return await holdAtGate(sql, "deletions", "DELETE ON queues");
}

/** Stops whatever is about to do this to a row. */
async function holdAtGate(sql: Sql, name: string, event: string, when = ""): Promise<Held> {
  const lock = `hashtext('${name}')`;
  await sql.unsafe(`
    CREATE OR REPLACE FUNCTION pass_${name}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared(${lock}); RETURN coalesce(new, old); END $$;
    CREATE OR REPLACE TRIGGER pass_${name} BEFORE ${event} FOR EACH ROW ${when} EXECUTE FUNCTION pass_${name}()`);
  return await holdWith(sql, `SELECT pg_advisory_xact_lock(${lock})`);
}

/** Stops whatever wants to change a slice of this queue. Claims skip it. */
export async function holdSlices(sql: Sql, queueId: string): Promise<Held> {
  return await holdWith(sql, `SELECT FROM slices WHERE queue_id = ${BigInt(queueId)} FOR UPDATE`);
}

/** Stops every statement that uses this table. */
export async function holdTable(
  sql: Sql,
  table:
    "slices" | "topics" | "queues" | "queue_totals" | "filter_policies" | "test_clock" | "outbox",
): Promise<Held> {
  return await holdWith(sql, `LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
}

/**
 * Resolves when this many statements of the database wait for a lock, and have run for so many seconds: those that give
 * it up soon and are sent again change places until then.
 */
export async function untilBlocked(sql: Sql, count = 1, seconds = 0): Promise<void> {
  await until(async () => {
    const [row] = await sql<{ waiting: number }[]>`
      SELECT count(*)::int AS waiting FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'
        AND pg_catalog.clock_timestamp() - query_start >= make_interval(secs => ${seconds}::float8)`;
    return (row?.waiting ?? 0) >= count;
  });
}

/** Asks until the answer is yes; the test's timeout ends it. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await setImmediate();
}

/**
 * Opens every connection that a database may open, for tests that stop the timers of this process: the driver needs
 * one to connect.
 */
export async function connectAll({
  sql,
  shared,
  control,
  lookUps,
  maintenance,
}: Database): Promise<void> {
  await Promise.all([
    allAtOnce(sql.options.max, (meet) => sql.begin(meet)),
    allAtOnce(2, (meet) => control.transaction(meet)),
    allAtOnce(2, (meet) => lookUps.transaction(meet)),
    shared.inOneCommit((on) => [statement(on`SELECT 1`, (rows) => rows)]),
    maintenance`SELECT 1`,
  ]);
}

/** Runs transactions that end when all of them have begun. */
async function allAtOnce(
  count: number,
  begin: (meet: () => Promise<void>) => Promise<unknown>,
): Promise<void> {
  let missing = count;
  let go = () => {};
  const complete = new Promise<void>((resolve) => (go = resolve));
  const meet = async () => {
    missing -= 1;
    if (missing === 0) go();
    await complete;
  };
  await Promise.all(Array.from({ length: count }, () => begin(meet)));
}

/** Has Postgres refuse every slice for this queue, with that SQLSTATE, until it is told to take them again. */
export async function refuseSlices(
  sql: Sql,
  queueId: string,
  code = "P0001",
): Promise<{ end: () => Promise<void> }> {
  await sql.unsafe(`
    CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused' USING ERRCODE = '${code}'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON slices FOR EACH ROW
      WHEN (new.queue_id = ${BigInt(queueId)}) EXECUTE FUNCTION refuse()`);
  return {
    async end() {
      await sql`DROP TRIGGER refuse ON slices`;
    },
  };
}

import { setTimeout as sleep } from "node:timers/promises";
import { pick } from "../random.ts";
import { last, type Battlefield, type Strike } from "./nemesis.ts";

/** What happens to a Postgres, and inside it. */
export const databaseStrikes: Record<string, Strike> = {
  "kill-postgres": async (field) => {
    await field.system.kill(field.system.postgres);
    await last(field, 0);
    await field.system.startPostgres();
  },
  "shutdown-postgres": async (field) => {
    // Immediate: no checkpoint, so that the start recovers from the log.
    await field.system.kill(field.system.postgres, "SIGQUIT");
    await field.system.startPostgres();
  },
  "kill-backend": async (field) => {
    const [backend] = await withSql(field, async (sql) => await backends(sql, 1));
    // The postmaster takes that for corrupted memory and restarts all others.
    if (backend !== undefined) process.kill(backend, "SIGKILL");
  },
  "terminate-backends": async (field) => {
    await withSql(field, async (sql) => {
      for (const pid of await backends(sql, 6)) await sql`SELECT pg_terminate_backend(${pid}::int)`;
    });
  },
  "hold-xmin": async (field) => {
    await withSql(field, async (sql) => {
      await sql.begin("ISOLATION LEVEL REPEATABLE READ", async (held) => {
        await held`SELECT count(*) FROM queues`;
        await last(field, field.longest);
      });
    });
  },
  "lock-storm": async (field) => {
    const table = pick(field.random, ["slices", "batches", "outbox", "queues"]);
    await withSql(field, async (sql) => {
      await sql.begin(async (held) => {
        await held`SET LOCAL lock_timeout = '3s'`;
        await held.unsafe(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
        await last(field, 0.5);
      });
    }).catch(() => {
      // Not got in time, or ended by another fault: a fault less.
    });
  },
  "use-up-connections": async (field) => {
    const held = Array.from({ length: 150 }, () => field.connect());
    await Promise.allSettled(held.map((sql) => sql`SELECT 1`));
    await last(field, 0.5);
    await Promise.allSettled(held.map((sql) => sql.end({ timeout: 1 })));
  },
  "jump-postgres-clock": async (field) => {
    const clock = field.system.postgresClock;
    if (clock === undefined) return;
    const out = pick(
      field.random,
      CLOCK_ERRORS.filter((ms) => ms !== clock.out),
    );
    const by = await clock.jumpTo(out, (jump) => untilDone(() => withSql(field, jump)));
    // What was to be seen soon is hidden for so much longer: that belongs to the fault.
    await sleep(Math.max(0, -by));
  },
};

/** By how many milliseconds the clock of Postgres may be out; of most messages the visibility timeout is 5 s. */
const CLOCK_ERRORS = [-4_000, -1_500, 0, 3_000, 7_000];

/** Other faults may be in the way, for as long as they last. */
async function untilDone(doIt: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    try {
      return await doIt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(200);
    }
  }
}

type Sql = ReturnType<Battlefield["connect"]>;

async function backends(sql: Sql, most: number): Promise<number[]> {
  const rows = await sql<{ pid: number }[]>`
    SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'sluice-%' ORDER BY random() LIMIT ${most}::int`;
  return rows.map(({ pid }) => pid);
}

async function withSql<Result>(
  field: Battlefield,
  use: (sql: Sql) => Promise<Result>,
): Promise<Result> {
  const sql = field.connect();
  try {
    return await use(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

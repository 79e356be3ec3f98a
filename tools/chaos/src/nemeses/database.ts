import { last, type Battlefield, type Strike } from "./nemesis.ts";
import { pick } from "../random.ts";

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
};

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

import connect from "postgres";

/**
 * What Postgres spent on each statement since the start, the most expensive first, as lines; needs `profilingPostgres`.
 */
export async function describeStatements(adminUrl: string, top = 12): Promise<string[]> {
  const sql = connect(adminUrl, { max: 1, onnotice: () => undefined });
  try {
    await sql`CREATE EXTENSION IF NOT EXISTS pg_stat_statements`;
    const rows = await sql<Statement[]>`
      SELECT calls::float8, total_exec_time AS execution, total_plan_time AS planning, rows::float8,
             wal_bytes::float8 AS wal, shared_blks_hit::float8 AS hit, shared_blks_read::float8 AS read,
             regexp_replace(query, '\\s+', ' ', 'g') AS query
      FROM pg_stat_statements
      ORDER BY total_exec_time + total_plan_time DESC LIMIT ${top}`;
    return ["  total ms   calls  ms/call     rows   WAL kB", ...rows.map(lineOf)];
  } finally {
    await sql.end();
  }
}

interface Statement {
  calls: number;
  execution: number;
  planning: number;
  rows: number;
  wal: number;
  hit: number;
  read: number;
  query: string;
}

function lineOf({ calls, execution, planning, rows, wal, query }: Statement): string {
  const total = execution + planning;
  const cells = [
    total.toFixed(0).padStart(10),
    String(calls).padStart(8),
    (total / calls).toFixed(3).padStart(9),
    String(rows).padStart(9),
    (wal / 1_024).toFixed(0).padStart(9),
  ];
  return `${cells.join("")}  ${query.slice(0, 110)}`;
}

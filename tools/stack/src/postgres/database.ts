import { randomBytes } from "node:crypto";
import connect from "postgres";
import { StackError } from "../stack-error.ts";

const OLDEST_VERSION = 15;

/** Makes role and database `sluice` where they are missing and gives the server's version. */
export async function prepareDatabase(url: string, password: string): Promise<string> {
  // Not through database sluice, which may not exist yet.
  const sql = open(withDatabase(url, "postgres"));
  try {
    const [found] = await sql<{ version: string; role: boolean; database: boolean }[]>`
      SELECT current_setting('server_version') AS version,
             EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice') AS role,
             EXISTS (SELECT FROM pg_database WHERE datname = 'sluice') AS database`;
    if (!found?.role) await sql.unsafe(`CREATE ROLE sluice LOGIN CREATEDB PASSWORD '${password}'`);
    if (!found?.database) await sql.unsafe("CREATE DATABASE sluice OWNER sluice");
    return found?.version ?? "";
  } finally {
    await sql.end();
  }
}

/**
 * Checks a Postgres that somebody else runs and gives its version.
 *
 * @throws StackError `database_unusable` when it cannot be reached within 10 s or is older than Postgres 15.
 */
export async function checkDatabase(url: string): Promise<string> {
  const version = await readVersion(url);
  if (Number.parseInt(version, 10) >= OLDEST_VERSION) return version;
  throw new StackError(
    "database_unusable",
    `DATABASE_URL leads to Postgres ${version}; Sluice needs ${OLDEST_VERSION} or newer.`,
    {
      hint: "Unset DATABASE_URL to use the Postgres that comes with Sluice.",
    },
  );
}

async function readVersion(url: string): Promise<string> {
  let sql: connect.Sql | undefined;
  try {
    sql = open(url);
    const [row] = await sql<
      { version: string }[]
    >`SELECT current_setting('server_version') AS version`;
    return row?.version ?? "";
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message || cause.name : String(cause);
    throw new StackError(
      "database_unusable",
      `DATABASE_URL leads to no usable Postgres: ${reason}`,
      {
        hint: "Expected postgres://user:password@host:port/database of a Postgres that runs. Unset it to use the one that comes with Sluice.",
        cause,
      },
    );
  } finally {
    await sql?.end();
  }
}

/** A database of its own; disposing it drops it, whoever is still connected. */
export interface TestDatabase extends AsyncDisposable {
  readonly name: string;
  readonly url: string;
}

/**
 * Creates an empty database with a unique name on the server of `adminUrl`, whose role must be allowed to.
 *
 * `template` copies an existing database instead (one that nobody is connected to): tables come along.
 * @example
 * await using database = await createTestDatabase(inject("databaseUrl"));
 */
export async function createTestDatabase(
  adminUrl: string,
  { template }: { template?: string } = {},
): Promise<TestDatabase> {
  const name = `test_${process.pid}_${randomBytes(6).toString("hex")}`;
  const run = async (statement: string) => {
    const sql = open(adminUrl);
    try {
      await sql.unsafe(statement);
    } finally {
      await sql.end();
    }
  };
  await unlessInUse(() =>
    run(`CREATE DATABASE ${name}${template ? ` TEMPLATE "${template}"` : ""}`),
  );
  return {
    name,
    url: withDatabase(adminUrl, name),
    [Symbol.asyncDispose]: () =>
      unlessInUse(async () => {
        try {
          await run(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
        } catch (error) {
          if (codeOf(error) !== INSUFFICIENT_PRIVILEGE) throw error;
          // An automatic vacuum was at work there, which our role may not end. Without FORCE Postgres does it itself.
          await run(`DROP DATABASE IF EXISTS ${name}`);
        }
      }),
  };
}

/** Postgres waits five seconds for sessions to end, too short for one that stands still: it is asked again. */
async function unlessInUse(act: () => Promise<void>): Promise<void> {
  const began = performance.now();
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (codeOf(error) !== OBJECT_IN_USE || performance.now() - began > IN_USE_MS) throw error;
    }
  }
}

const IN_USE_MS = 30_000;
const OBJECT_IN_USE = "55006";
const INSUFFICIENT_PRIVILEGE = "42501";

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown }).code;
}

function open(url: string): connect.Sql {
  return connect(url, { max: 1, connect_timeout: 10, fetch_types: false, onnotice: () => {} });
}

function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

import { execFile } from "node:child_process";
import { promisify } from "node:util";

import connect from "postgres";

import { assemble } from "../assemble.ts";
import { peerFile } from "../peers.ts";
import { ownPostgres } from "../postgres.ts";
import type { RunningSystem, System } from "../system.ts";

const run = promisify(execFile);

const settings =
  "Postgres with fsync and synchronous_commit on; an empty queue is polled every 100 ms (its default)";

/** pgmq by its own functions, installed as SQL alone: topics with bindings, read, delete. */
export const pgmq: System = {
  name: "pgmq",
  title: "pgmq",
  settings: `its functions, installed as SQL; ${settings}`,
  start: async () => {
    const { version, script } = await readScript();
    return startWith(script, `pgmq ${version}`);
  },
};

/**
 * Its tables, and the statements that are in its functions, written for this benchmark: what a hand-made queue in
 * Postgres comes to.
 */
export const pgmqLayout: System = {
  name: "pgmq-layout",
  title: "pgmq layout",
  settings: `the tables and statements of pgmq without its functions; ${settings}`,
  start: async () => startWith("CREATE SCHEMA pgmq", "pgmq layout"),
};

function startWith(script: string, what: string): Promise<RunningSystem> {
  return assemble(async (cleanup, folder) => {
    const { version, ...postgres } = await ownPostgres(cleanup, folder);
    const sql = connect(postgres.url, { max: 1, onnotice: () => undefined });
    await sql.unsafe(script);
    await sql.end();
    return {
      address: { url: postgres.url },
      description: `${what} on Postgres ${version}`,
      postgres,
    };
  });
}

/** The script of the extension, which npm has as a part of PGlite's. */
async function readScript(): Promise<{ version: string; script: string }> {
  const archive = peerFile("@electric-sql/pglite-pgmq", "pgmq.tar.gz");
  const { stdout: names } = await run("tar", ["-tzf", archive]);
  // Not those that take one version to the next.
  const [name, version] = /^.*\/pgmq--([\d.]+)\.sql$/m.exec(names) ?? [];
  if (name === undefined || version === undefined) throw new Error(`no script in ${archive}`);
  const { stdout: script } = await run("tar", ["-xzOf", archive, name]);
  return { version, script };
}

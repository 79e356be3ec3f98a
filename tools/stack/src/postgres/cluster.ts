import { randomBytes } from "node:crypto";
import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { renameDurably, writeDurably } from "../durable.ts";
import { describeExit, startChild, type Child } from "../process/child.ts";
import { StackError } from "../stack-error.ts";
import type { PostgresHome } from "./home.ts";

/** The superuser; Sluice itself connects as `sluice`, an ordinary role. */
export const SUPERUSER = "postgres";

/** An initialised database cluster. */
export interface Cluster {
  folder: string;
  password: string;
}

export interface ClusterOptions {
  /** Flush a new cluster to disk. */
  durable: boolean;
  signal: AbortSignal | undefined;
}

/** Opens the cluster of a home, making it (and a random password) on the first start. */
export async function openCluster(home: PostgresHome, options: ClusterOptions): Promise<Cluster> {
  const folder = join(home.folder, "cluster");
  const isNew = !(await stat(folder).catch(() => undefined));
  const password = (await readPassword(home)) ?? (isNew ? await createPassword(home) : undefined);
  if (password === undefined) throw passwordLost(home);
  if (isNew) await initialise(home, folder, options);
  return { folder, password };
}

/** Undefined when there is none. */
async function readPassword(home: PostgresHome): Promise<string | undefined> {
  const kept = await readFile(passwordFile(home), "utf8").catch(() => "");
  return kept.trim() || undefined;
}

/** It is flushed before there is a cluster that only it opens. */
async function createPassword(home: PostgresHome): Promise<string> {
  const password = randomBytes(24).toString("hex");
  const how = { mode: 0o600, owner: home.account };
  await writeDurably(passwordFile(home), `${password}\n`, how);
  return password;
}

function passwordLost(home: PostgresHome): StackError {
  const file = passwordFile(home);
  return new StackError("password_lost", `${file} is missing or empty: the password of Postgres.`, {
    hint: "Put it back from a copy of the folder, or start anew without the data: npm run reset.",
  });
}

const passwordFile = (home: PostgresHome) => join(home.folder, "password");

/** Built beside its place and renamed into it, so that a first start cut short leaves nothing half made. */
async function initialise(
  home: PostgresHome,
  folder: string,
  { durable, signal }: ClusterOptions,
): Promise<void> {
  const partial = `${folder}.new`;
  await rm(partial, { recursive: true, force: true });
  const options = [
    `--pgdata=${partial}`,
    `--username=${SUPERUSER}`,
    `--pwfile=${passwordFile(home)}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    // The builtin provider sorts the same on every platform and needs no locale of the system.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    ...(durable ? [] : ["--no-sync"]),
  ];
  const initdb = await startPostgresProgram(home, "initdb", options);
  const interrupt = () => initdb.signal("SIGINT");
  signal?.addEventListener("abort", interrupt);
  const exit = await initdb.exited;
  signal?.removeEventListener("abort", interrupt);
  signal?.throwIfAborted();
  if (exit.code !== 0) {
    const output = initdb.tail().slice(-20);
    throw new StackError("child_failed", `initdb failed (${describeExit(exit)}).`, { output });
  }
  await renameDurably(partial, folder);
}

/** Starts one of the Postgres programs as the right user and with an environment of our own making. */
export function startPostgresProgram(
  home: PostgresHome,
  program: "initdb" | "postgres",
  args: string[],
  { env = {}, onLine }: { env?: NodeJS.ProcessEnv; onLine?: (line: string) => void } = {},
): Promise<Child> {
  return startChild({
    name: program === "postgres" ? "Postgres" : program,
    command: [join(home.binaries, "bin", program), ...args],
    // Nothing of PGDATA, PGPORT, PGOPTIONS… of a developer's shell may leak in.
    env: { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC", ...env },
    cwd: home.folder,
    stopSignal: "SIGINT", // fast shutdown: ends sessions, writes a checkpoint
    lastSignal: "SIGQUIT", // immediate: the next start recovers from the log
    graceMs: 30_000,
    user: home.account,
    onLine,
  });
}

import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { StackError } from "../stack-error.ts";

const run = promisify(execFile);

/** A user of the system, by number. */
export interface Account {
  uid: number;
  gid: number;
}

/**
 * The user that has to run Postgres: undefined for "as ourselves", which is every case but root, under whom Postgres
 * refuses to start. Root hands it to the owner of the existing data, else to `postgres`, else to `nobody`.
 */
export async function postgresAccount(existingData: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const data = await stat(existingData).catch(() => undefined);
  if (data && data.uid !== 0) return { uid: data.uid, gid: data.gid };
  const account = (await lookUp("postgres")) ?? (await lookUp("nobody"));
  if (account) return account;
  throw new StackError(
    "postgres_missing",
    "Postgres refuses to run as root, and there is no user to run it as.",
    {
      hint: "Start as an ordinary user, add a user named postgres, or set DATABASE_URL.",
    },
  );
}

async function lookUp(name: string): Promise<Account | undefined> {
  try {
    const [uid, gid] = await Promise.all([run("id", ["-u", name]), run("id", ["-g", name])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

/**
 * Whether `account` may enter every folder on the way to `path`, and read and run it if it is a file: by the permission
 * bits.
 */
export async function canReach(path: string, account: Account): Promise<boolean> {
  const entry = await stat(path);
  const { mode, uid, gid } = entry;
  const shift = uid === account.uid ? 6 : gid === account.gid ? 3 : 0;
  const needed = entry.isDirectory() ? ENTER : READ | RUN;
  if (((mode >> shift) & needed) !== needed) return false;
  const parent = dirname(path);
  return parent === path || canReach(parent, account);
}

const READ = 4;
const RUN = 1;
const ENTER = 1;

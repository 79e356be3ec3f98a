import { createHash } from "node:crypto";
import { existsSync, realpathSync } from "node:fs";
import { chmod, chown, mkdir, readdir, rm, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { REMOVAL, removeFrom } from "../folders.ts";
import { StackError } from "../stack-error.ts";
import { canReach, postgresAccount, type Account } from "./account.ts";
import { copyBinaries, locatePostgres } from "./binaries.ts";

/** Where Postgres lives and as whom it runs. */
export interface PostgresHome {
  /** Belongs to the account; holds the cluster, the password and the last port. */
  folder: string;
  /** Holds bin, lib and share. */
  binaries: string;
  /** The user to run as; undefined: ourselves. */
  account: Account | undefined;
}

/** What is in a home; those that end in .new are of a start that was cut short. */
const CONTENTS = ["cluster", "cluster.new", "password", "password.new", "port"];

/** Both places where the Postgres of `dataDir` may live. */
interface HomeFolders {
  /** `<dataDir>/postgres`, the usual one. */
  inside: string;
  /** For root in a clone that the user who runs Postgres cannot enter (/root/sluice): a folder per data folder. */
  outside: string;
}

function homeFolders(dataDir: string): HomeFolders {
  const key = createHash("sha256").update(realPath(dataDir)).digest("hex").slice(0, 12);
  return { inside: join(dataDir, "postgres"), outside: join("/var/lib/sluice", key, "postgres") };
}

/** Also of what does not exist (any more): somebody may have deleted the folder, and wants to be rid of the rest. */
function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : join(realPath(dirname(path)), basename(path));
}

/**
 * Decides where the data lives, makes the folder for the user who runs Postgres, and finds binaries that user can run.
 */
export async function preparePostgresHome(dataDir: string): Promise<PostgresHome> {
  await mkdir(dataDir, { recursive: true });
  const folders = homeFolders(dataDir);
  const existing = await existingHome(folders);
  const account = await postgresAccount(existing ?? folders.inside);
  const folder = existing ?? (await newHome(folders, account));
  await refuseForeign(folder);
  await claimFolder(folder, account);
  return { folder, binaries: await binariesFor(account, dirname(folders.outside)), account };
}

/** Data that exists stays where it is, whatever has become of the permissions around it. */
async function existingHome({ inside, outside }: HomeFolders): Promise<string | undefined> {
  for (const folder of [inside, outside]) {
    if (await stat(join(folder, "password")).catch(() => undefined)) return folder;
  }
  return undefined;
}

async function newHome(
  { inside, outside }: HomeFolders,
  account: Account | undefined,
): Promise<string> {
  const usable = !account || (await canReach(dirname(inside), account));
  if (!usable) await makePublicFolder(dirname(outside));
  return usable ? inside : outside;
}

/**
 * A server of somebody else's may run on it, and has nothing any more once the folder is our user's. What systems put
 * into any folder (.DS_Store, lost+found) says nothing: a reset leaves it behind, and a disk is mounted with it.
 */
async function refuseForeign(folder: string): Promise<void> {
  const names = await readdir(folder).catch((): string[] => []);
  const other = names.find((name) => !name.startsWith(".") && name !== "lost+found");
  if (other === undefined || names.some((name) => CONTENTS.includes(name))) return;
  throw new StackError("data_folder_denied", `${folder} is not Sluice's: ${other} is in it.`, {
    hint: "Move that away, or set SLUICE_DATA_DIR to another folder.",
  });
}

async function claimFolder(folder: string, account: Account | undefined): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (account) await chown(folder, account.uid, account.gid);
  const { uid } = await stat(folder);
  const reachable = account ? await canReach(dirname(folder), account) : uid === process.getuid?.();
  if (reachable || process.platform === "win32") return;
  throw new StackError(
    "data_folder_denied",
    `The user that runs Postgres cannot use ${folder} (it belongs to uid ${uid}).`,
    {
      hint: "Start as the user of the first start, run npm run reset as that user, or set SLUICE_DATA_DIR to another folder.",
    },
  );
}

async function binariesFor(account: Account | undefined, systemFolder: string): Promise<string> {
  const { folder, version } = await locatePostgres();
  if (!account || (await canReach(join(folder, "bin", "postgres"), account))) return folder;
  await makePublicFolder(systemFolder);
  return copyBinaries(folder, join(systemFolder, `native-${version}`));
}

/** Makes a folder that everybody may enter, whatever the umask of root is. */
async function makePublicFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await chmod(dirname(folder), 0o755);
  await chmod(folder, 0o755);
}

/** The folders that may hold the Postgres data of `dataDir`. */
export function homesOf(dataDir: string): string[] {
  const { inside, outside } = homeFolders(dataDir);
  return [inside, outside];
}

/** Deletes the Postgres data of `dataDir`, wherever it lives. Whoever calls has made sure that nothing runs on it. */
export async function removePostgresHome(dataDir: string): Promise<void> {
  const { inside, outside } = homeFolders(dataDir);
  await removeFrom(inside, CONTENTS);
  if (process.getuid?.() !== 0) return;
  await rm(dirname(outside), REMOVAL);
  await rmdir(dirname(dirname(outside))).catch(() => {}); // the last one turns off the light
}

import { execFile } from "node:child_process";
import { mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { checkNats, type NatsBinary } from "./find.ts";

const run = promisify(execFile);

/**
 * Takes nats-server from the package manager of Debian and Ubuntu: `apt-get download`, which checks the signature, and
 * an unpack into `cacheDir`.
 *
 * Not `apt-get install`: the package would enable a system service that listens on every address from the next boot
 * on. This way nothing on the machine changes, and it needs no root, only package lists (root refreshes stale ones).
 */
export async function natsFromDebian(cacheDir: string, signal?: AbortSignal): Promise<NatsBinary> {
  const home = join(cacheDir, "nats-server-debian");
  const binary = join(home, "usr", "sbin", "nats-server");
  const origin = "from apt";
  const kept = await checkNats(binary, origin).catch(() => undefined);
  if (kept) return kept;
  const work = await mkdtemp(join(cacheDir, "apt-"));
  try {
    await download(work, signal);
    await unpack(work);
    await rm(home, { recursive: true, force: true });
    await rename(join(work, "unpacked"), home);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return checkNats(binary, origin);
}

async function download(cwd: string, signal: AbortSignal | undefined): Promise<void> {
  const options = { cwd, signal };
  try {
    await aptGet(["download", "nats-server"], options);
  } catch (error) {
    if (process.getuid?.() !== 0) throw error;
    await aptGet(["update"], options);
    await aptGet(["download", "nats-server"], options);
  }
}

async function aptGet(
  args: string[],
  where: { cwd: string; signal: AbortSignal | undefined },
): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" };
  const patience = ["-q", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10"];
  try {
    await run("apt-get", [...patience, ...args], { ...where, env, timeout: 60_000 });
  } catch (error) {
    throw new Error(lastErrorOf(error), { cause: error });
  }
}

async function unpack(folder: string): Promise<void> {
  const file = (await readdir(folder)).find((name) => name.endsWith(".deb"));
  if (!file) throw new Error("apt-get downloaded nothing");
  await run("dpkg-deb", ["-x", file, "unpacked"], { cwd: folder });
}

/** The line that says why: the last `E:` of apt, else what node has to say (no apt-get at all). */
function lastErrorOf(error: unknown): string {
  const { stderr = "", message } = error as Error & { stderr?: string };
  const line = stderr.split("\n").findLast((text) => text.startsWith("E: "));
  if (line)
    return `apt: ${line
      .slice(3)
      .replaceAll(/https?:\S+\s*/g, "")
      .trim()}`;
  return (error as NodeJS.ErrnoException).code === "ENOENT"
    ? "no apt here"
    : (message.split("\n")[0] ?? "apt failed");
}

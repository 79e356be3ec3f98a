import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const OLDEST = [2, 9] as const;

/** A nats-server that can be run. */
export interface NatsBinary {
  path: string;
  version: string;
  /** Where it came from, in words for a progress line. */
  origin: string;
}

/** Looks for a nats-server on PATH, and in the sbin folders that an ordinary user's PATH leaves out. */
export async function findNatsOnPath(path = process.env["PATH"] ?? ""): Promise<NatsBinary> {
  const system = process.platform === "win32" ? [] : ["/usr/local/sbin", "/usr/sbin"];
  const name = process.platform === "win32" ? "nats-server.exe" : "nats-server";
  for (const folder of new Set([...path.split(delimiter), ...system])) {
    const candidate = join(folder, name);
    if (folder && (await isExecutable(candidate))) return checkNats(candidate, "on PATH");
  }
  throw new Error("not on PATH");
}

/** Runs `nats-server -v`; fails when it does not run here or is older than 2.9. */
export async function checkNats(path: string, origin: string): Promise<NatsBinary> {
  const { stdout } = await run(path, ["-v"], { timeout: 10_000 });
  const [, major = "0", minor = "0", patch = "0"] = /(\d+)\.(\d+)\.(\d+)/.exec(stdout) ?? [];
  const version = `${major}.${minor}.${patch}`;
  const recent =
    Number(major) > OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) >= OLDEST[1]);
  if (!recent) throw new Error(`${path} is ${version}, older than ${OLDEST.join(".")}`);
  return { path, version, origin };
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

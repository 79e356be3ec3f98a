import { execFileSync } from "node:child_process";
import { readFile, readlink, realpath } from "node:fs/promises";

/** The pid in the first line of a pid file; undefined when there is none. */
export async function readPid(file: string): Promise<number | undefined> {
  const text = await readFile(file, "utf8").catch(() => "");
  const pid = Number.parseInt(text, 10);
  return pid > 0 ? pid : undefined;
}

/**
 * Whether process `pid` is alive and works on `folder`: its working directory or a part of its command line.
 *
 * A pid alone proves nothing: after a reboot, and in every fresh container, the same small numbers belong to somebody
 * else. Where the system does not tell, a live process counts as working on the folder (better to ask than to run two).
 */
export async function runsOn(pid: number, folder: string): Promise<boolean> {
  if (!isAlive(pid)) return false;
  const real = await realpath(folder).catch(() => folder);
  return process.platform === "linux" ? linuxRunsOn(pid, real) : otherRunsOn(pid, real);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // EPERM too: the folder is ours, and what works on it runs as us (or we are root and get no EPERM).
    return false;
  }
}

async function linuxRunsOn(pid: number, folder: string): Promise<boolean> {
  const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => "");
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return cwd === folder || command.includes(folder);
}

function otherRunsOn(pid: number, folder: string): boolean {
  try {
    const command = execFileSync("ps", ["-ww", "-o", "command=", "-p", String(pid)], {
      encoding: "utf8",
    });
    return command.includes(folder);
  } catch {
    return true;
  }
}

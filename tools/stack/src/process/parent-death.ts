import { spawnSync } from "node:child_process";

let supported: boolean | undefined;

/**
 * Prefixes a command so that the kernel sends it `signal` when the thread that started it dies, `kill -9` included.
 *
 * Linux with util-linux only (`setpriv` replaces itself by the command, so the pid stays that of the command);
 * elsewhere the command comes back as it is and an orphan is reported at the next start.
 */
export function dieWithParent(command: string[], signal: NodeJS.Signals): string[] {
  supported ??= process.platform === "linux" && setprivWorks();
  return supported ? ["setpriv", "--pdeathsig", signal.slice("SIG".length), ...command] : command;
}

function setprivWorks(): boolean {
  // Busybox has a setpriv that knows no --pdeathsig, so its presence alone says nothing.
  const probe = spawnSync("setpriv", ["--pdeathsig", "TERM", "true"], { stdio: "ignore" });
  return probe.status === 0;
}

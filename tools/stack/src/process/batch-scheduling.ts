import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

let supported: boolean | undefined;

/**
 * Prefixes a command so that Linux schedules its process by the policy for batch work (`SCHED_BATCH`): a server that is
 * woken waits for its share of the processor instead of pushing aside whoever is running, which on a machine that it
 * shares with its clients is one of them. It then finds several calls to read where there would have been one, and
 * fewer changes of process spoil the caches. It needs no privilege.
 *
 * Measured on two cores, load included, by turns with and without: AWS' clients 7,700 deliveries a second instead of
 * 5,900; fan-out 2 to 5 % more; `small` and `latency` the same within noise. An emulator in memory, for comparison:
 * 8,765 instead of 8,550.
 *
 * Linux with util-linux only (`chrt` replaces itself by the command); elsewhere the command comes back as it is, and so
 * it does where we have been given another policy, which our children then have too: who runs everything as idle work
 * wants that, and not everybody may leave it.
 */
export function scheduledInBatches(command: string[]): string[] {
  supported ??= process.platform === "linux" && isOrdinary() && chrtWorks();
  return supported ? ["chrt", "--batch", "0", ...command] : command;
}

/** Whether this process is scheduled as most are, by `SCHED_OTHER`. */
function isOrdinary(): boolean {
  try {
    const stat = readFileSync("/proc/self/stat", "utf8");
    // Field 41, counted from the end of the name, which may have spaces.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[38] === "0";
  } catch {
    return false;
  }
}

function chrtWorks(): boolean {
  // Busybox has a chrt that knows no --batch, and a sandbox may forbid the call.
  const probe = spawnSync("chrt", ["--batch", "0", "true"], { stdio: "ignore" });
  return probe.status === 0;
}

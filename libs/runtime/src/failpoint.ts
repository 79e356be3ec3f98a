import { ConfigError } from "./config/read-config.ts";

/**
 * Every place where a process can be told to die, or to stand still, in a test of what survives that. The name says
 * what has just happened, or is about to.
 */
export const failpoints = [
  "write.before-commit",
  "write.committed",
  "write.before-answer",
  "fan-out.announced",
  "fan-out.committed",
  "claim.met-dead-letters",
  "claim.committed",
  "acknowledge.before-commit",
  "acknowledge.committed",
  "visibility.committed",
  "redrive.before-step",
  "redrive.committed",
] as const;

export type Failpoint = (typeof failpoints)[number];

interface Armed {
  /** Passes left before it fires. */
  passes: number;
  signal: "SIGKILL" | "SIGSTOP";
}

const armed = new Map<Failpoint, Armed>();

/**
 * A place where a test may kill this process. Does nothing, at the cost of one comparison, unless SLUICE_FAILPOINTS
 * named it at the start.
 */
export function failpoint(name: Failpoint): void {
  if (armed.size > 0) fire(name);
}

function fire(name: Failpoint): void {
  const point = armed.get(name);
  if (point === undefined) return;
  point.passes -= 1;
  if (point.passes > 0) return;
  armed.delete(name);
  process.kill(process.pid, point.signal);
}

/**
 * Reads SLUICE_FAILPOINTS: `write.committed`, `fan-out.committed@20` (the twentieth time), `claim.committed!stop`
 * (stands still until SIGCONT), several separated by commas.
 *
 * @throws {ConfigError} for a name that is none, and in production, where nothing may die by a variable left behind.
 */
export function armFailpoints(env: NodeJS.ProcessEnv): void {
  const given = env["SLUICE_FAILPOINTS"];
  if (given === undefined || given === "") return;
  if (env["NODE_ENV"] === "production") {
    throw new ConfigError(["SLUICE_FAILPOINTS is set, which NODE_ENV=production forbids"]);
  }
  for (const each of given.split(",")) {
    const [, name, times, stop] = /^([a-z.-]+)(?:@(\d{1,6}))?(!stop)?$/.exec(each.trim()) ?? [];
    const known = failpoints.find((one) => one === name);
    if (known === undefined) {
      throw new ConfigError([
        `SLUICE_FAILPOINTS is wrong, expected ${failpoints.join(", ")}, each with @times or !stop after it or neither, got "${each}"`,
      ]);
    }
    armed.set(known, {
      passes: Math.max(1, Number(times ?? 1)),
      signal: stop === undefined ? "SIGKILL" : "SIGSTOP",
    });
  }
}

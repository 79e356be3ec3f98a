import type { Options } from "./options.ts";
import type { Report } from "./report/report.ts";
import type { RunningSystem, StartOptions } from "./systems/system.ts";

/** What a benchmark is given to run with. */
export interface Bench {
  options: Options;
  /** Progress for whoever waits. */
  say: (line: string) => void;
  /**
   * Starts a system by its name, with empty disks; disposing it stops it. Fails with `Unavailable` where it is not
   * installed.
   */
  start: (
    name: string,
    options?: Pick<StartOptions, "probed" | "guarded">,
  ) => Promise<RunningSystem>;
}

/** One line of the table of benchmarks. */
export interface Benchmark {
  /** `npm run bench -- <name>` */
  name: string;
  /** One line for `--help`. */
  help: string;
  run: (bench: Bench) => Promise<Report>;
}

import { Cleanup } from "@sluice/stack";

import type { Benchmark } from "./bench.ts";
import type { Options } from "./options.ts";
import { describeStatements } from "./profile/statements.ts";
import type { Report } from "./report/report.ts";
import { systems } from "./systems/systems.ts";
import { Unavailable, type RunningSystem } from "./systems/system.ts";

export interface RunOptions {
  options: Options;
  say: (line: string) => void;
  profileFolder?: string | undefined;
}

/** Runs one benchmark on systems of its own, each started when it is first asked for, and stops them. */
export async function runBenchmark(
  benchmark: Benchmark,
  { options, say, profileFolder }: RunOptions,
): Promise<Report> {
  const cleanup = new Cleanup();
  const started = new Map<string, RunningSystem>();
  const system = async (name: string) => {
    const known = started.get(name);
    if (known !== undefined) return known;
    const found = systems.find((one) => one.name === name);
    if (found === undefined) throw new Unavailable(`there is no system "${name}"`);
    const running = cleanup.use(await found.start({ profileFolder, url: options.url }));
    started.set(name, running);
    return running;
  };
  try {
    const report = await benchmark.run({ options, say, system });
    const adminUrl = started.get("sluice")?.postgres?.adminUrl;
    if (profileFolder !== undefined && adminUrl !== undefined)
      for (const line of await describeStatements(adminUrl)) say(line);
    return report;
  } finally {
    await cleanup.run();
  }
}

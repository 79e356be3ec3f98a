import { mkdtemp, mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { benchmarks } from "./benchmarks.ts";
import { readCommandLine, UsageError, type CommandLine, type Options } from "./options.ts";
import { describeProfiles } from "./profile/hot-functions.ts";
import { profileLoad } from "./profile/profiling.ts";
import { chartOf } from "./report/chart.ts";
import { describeMachine, thisMachine } from "./report/machine.ts";
import type { Report } from "./report/report.ts";
import { tableOf } from "./report/table.ts";
import { systemStarter } from "./start-system.ts";
import { installPeers } from "./systems/peers.ts";
import { Unavailable } from "./systems/system.ts";
import { usage } from "./usage.ts";

const chartFolder = fileURLToPath(new URL("../../../docs/benchmarks/", import.meta.url));

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n\n${usage}`);
  return 2;
});

async function main(args: string[]): Promise<number> {
  const commandLine = readCommandLine(args);
  if (commandLine.help) process.stdout.write(usage);
  if (commandLine.installPeers) await installPeers();
  if (commandLine.help || (commandLine.installPeers && commandLine.benchmarks.length === 0))
    return 0;
  const { options } = commandLine;
  const reports: Report[] = [];
  let failed = false;
  for (const benchmark of chosen(commandLine.benchmarks)) {
    try {
      const report = await withProfile(commandLine, async (profileFolder) =>
        benchmark.run({ options, say, start: systemStarter({ options, say, profileFolder }) }),
      );
      reports.push(report);
      await show(report, commandLine);
      failed ||= report.rows.some(({ failure }) => failure !== undefined);
    } catch (error) {
      // What is not installed leaves the others of `all` alone; so does one that fails, but not the exit code.
      const message = error instanceof Error ? error.message : String(error);
      say(`${benchmark.name}: ${error instanceof Unavailable ? "skipped" : "FAILED"}: ${message}`);
      failed ||= !(error instanceof Unavailable);
    }
  }
  await writeJson(reports, commandLine);
  return failed ? 1 : 0;
}

function chosen(names: string[]): typeof benchmarks {
  if (names.includes("all")) return benchmarks;
  return (names.length === 0 ? ["fan-out"] : names).map((name) => {
    const found = benchmarks.find((benchmark) => benchmark.name === name);
    if (found === undefined) throw new UsageError(`there is no benchmark "${name}"`);
    return found;
  });
}

async function withProfile<Result>(
  { options }: CommandLine,
  work: (profileFolder: string | undefined) => Promise<Result>,
): Promise<Result> {
  if (!options.profile) return work(undefined);
  const folder = await mkdtemp(join(tmpdir(), "sluice-profile-"));
  profileLoad(folder);
  const result = await work(folder);
  process.stdout.write(`${describeProfiles(folder).join("\n")}\n\n`);
  return result;
}

async function show(report: Report, { json, chart, options }: CommandLine): Promise<void> {
  const machine = thisMachine();
  if (json !== "-") {
    const lines = [...tableOf(report), describeMachine(machine)];
    process.stdout.write(`${lines.join("\n")}\n\n`);
  }
  if (!chart) return;
  await mkdir(chartFolder, { recursive: true });
  await writeFile(join(chartFolder, `${report.name}.svg`), chartOf(report, machine));
  await writeFile(join(chartFolder, `${report.name}.json`), jsonOf([report], options));
  say(`drew docs/benchmarks/${report.name}.svg; ${report.name}.json beside it has every round`);
}

async function writeJson(reports: Report[], { json, options }: CommandLine): Promise<void> {
  if (json === undefined) return;
  const text = jsonOf(reports, options);
  if (json === "-") process.stdout.write(text);
  else await writeFile(json, text);
}

function jsonOf(reports: Report[], options: Options): string {
  const result = { at: new Date().toISOString(), machine: thisMachine(), options, reports };
  return `${JSON.stringify(result, null, 2)}\n`;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

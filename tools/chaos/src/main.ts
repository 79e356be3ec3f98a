import { StackError } from "@sluice/stack";
import { CheckDied } from "./check/judge-apart.ts";
import { Progress } from "./check/progress.ts";
import { judge } from "./check/verdict.ts";
import { readOptions, usage, UsageError, type ChaosOptions } from "./options.ts";
import { mutants } from "./mutants/mutants.ts";
import { tryMutants } from "./mutants/try-mutants.ts";
import { nemeses } from "./nemeses/nemeses.ts";
import { printed, printedVerdict } from "./report/print.ts";
import { runChaos } from "./run.ts";

// At once: connections that the faults have left half open would keep us, and what was written is written.
process.exit(await main());

/** 0: no anomaly; 1: anomalies, or it could not be finished; 2: the command line cannot be followed. */
async function main(): Promise<number> {
  const options = optionsOrComplaint();
  if (options === undefined) return 2;
  if (options.help || options.list) {
    process.stdout.write(options.help ? usage : listing());
    return 0;
  }
  const interruption = new AbortController();
  process.on("SIGINT", () => interruption.abort());
  const out = options.json ? process.stderr : process.stdout;
  const tell = (line: string) => void out.write(`${line}\n`);
  try {
    if (options.check !== undefined) return await checkOnly(options.check, { ...options, tell });
    if (options.mutants.length > 0)
      return (await tryMutants(options, { tell, signal: interruption.signal })) ? 0 : 1;
    const report = await runChaos({ ...options, tell, signal: interruption.signal });
    for (const line of printed(report)) tell(line);
    if (options.json) await writeJson(report);
    return report.ok ? 0 : 1;
  } catch (error) {
    if (error instanceof CheckDied) {
      tell(error.message);
      return 1;
    }
    if (error instanceof StackError) for (const line of error.output) tell(line);
    for (const each of allOf(error))
      tell(each instanceof Error ? (each.stack ?? each.message) : String(each));
    return 1;
  }
}

/** The first one first: what failed while it was being cleaned up after it comes as one with both. */
function allOf(error: unknown): unknown[] {
  if (!(error instanceof Error) || error.name !== "SuppressedError") return [error];
  const { error: later, suppressed } = error as Error & { error: unknown; suppressed: unknown };
  return [...allOf(suppressed), ...allOf(later)];
}

function listing(): string {
  const lines = mutants.flatMap(({ name, what }) => [`  ${name}`, `    ${what}`]);
  return [
    "nemeses",
    ...Object.keys(nemeses).map((name) => `  ${name}`),
    "mutants",
    ...lines,
    "",
  ].join("\n");
}

/** Resolves when it has gone to stdout, which may be a pipe that is full. */
function writeJson(value: unknown): Promise<void> {
  const text = `${JSON.stringify(value, undefined, 2)}\n`;
  return new Promise((resolve) => process.stdout.write(text, () => resolve()));
}

async function checkOnly(
  folder: string,
  { json, tell }: { json: boolean; tell: (line: string) => void },
): Promise<number> {
  const verdict = judge(folder, new Progress((line) => void process.stderr.write(`${line}\n`)));
  if (json) await writeJson(verdict);
  else for (const line of printedVerdict(verdict)) tell(line);
  return verdict.anomalies.length === 0 ? 0 : 1;
}

function optionsOrComplaint(): ChaosOptions | undefined {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\nnpm run chaos -- --help tells what there is.\n`);
    return undefined;
  }
}

import { StackError } from "@sluice/stack";
import { readOptions, usage, UsageError, type DemoOptions } from "./options.ts";
import { runDemo } from "./run-demo.ts";
import { Display } from "./show/display.ts";

// npm passes the Ctrl-C on that the terminal has sent us as well: two signals, one key press.
const sameKeyPressMs = 1_000;

process.exitCode = await main();
// Not at once: what has been written to a pipe may be on its way. Not never: a call that is still being repeated, to a
// server that is gone, would keep us for a minute.
setTimeout(() => process.exit(), 1_000).unref();

/** 0: all is well; 1: something is off; 2: the command line cannot be followed; 130: interrupted. */
async function main(): Promise<number> {
  const options = optionsOrComplaint();
  if (options === undefined) return 2;
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  const display = new Display(options.json ? process.stderr : process.stdout, process.env);
  const signal = interruption();
  try {
    const result = await runDemo(options, { display, signal });
    if (options.json) process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
    return result.ok ? 0 : 1;
  } catch (error) {
    if (signal.aborted) {
      display.line("Interrupted.");
      return 130;
    }
    tell(error, display);
    return 1;
  }
}

function optionsOrComplaint(): DemoOptions | undefined {
  try {
    return readOptions(process.argv.slice(2), process.env);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\nnpm run demo -- --help tells what there is.\n`);
    return undefined;
  }
}

function tell(error: unknown, display: Display): void {
  if (error instanceof StackError) for (const line of error.output) display.line(line);
  const message = error instanceof Error ? error.message : String(error);
  display.line(`${display.paint("red", "✗")} The demo could not be finished: ${message}`);
  if (error instanceof StackError && error.hint) display.line(`  ${error.hint}`);
}

/** Fires on Ctrl-C and SIGTERM; the next Ctrl-C ends everything at once. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  let since = 0;
  const onSignal = () => {
    if (controller.signal.aborted && Date.now() - since > sameKeyPressMs) process.exit(130);
    if (controller.signal.aborted) return;
    since = Date.now();
    controller.abort(new Error("interrupted"));
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return controller.signal;
}

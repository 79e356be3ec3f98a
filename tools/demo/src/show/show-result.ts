import type { DemoResult } from "../measure/result.ts";
import type { Display } from "./display.ts";
import { failureRate } from "../services/slow.ts";
import { grouped, resultTable } from "./table.ts";

/** Writes the table and, below it, that all is well or what is off. */
export function showResult(result: DemoResult, display: Display): void {
  display.line();
  for (const line of resultTable(result)) display.line(line);
  display.line();
  for (const problem of result.problems) display.line(`${display.paint("red", "✗")} ${problem}`);
  if (!result.ok) return;
  display.line(frequent(result));
  const again = result.queues.slow.redelivered;
  if (again > 0) display.line(onPurpose(again));
  const mark = display.paint("green", "✓");
  const seconds = display.paint("grey", `(${result.seconds.toFixed(1)} s)`);
  display.line(`${mark} Each service handled every message exactly once, unchanged ${seconds}`);
}

/** Without it, messages that came twice would seem to contradict the line below. */
function onPurpose(again: number): string {
  const percent = Math.round(failureRate * 100);
  return `${grouped(again)} came to slow again: it fails ${percent} % of first attempts on purpose.`;
}

/** `Most frequent: issues 29, pull_request 29, discussion 15.` */
function frequent({ published }: DemoResult): string {
  const byCount = Object.entries(published.eventTypes).sort(([, one], [, other]) => other - one);
  const first = byCount.slice(0, 5).map(([type, count]) => `${type} ${grouped(count)}`);
  return `Most frequent: ${first.join(", ")}.`;
}

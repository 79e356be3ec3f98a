import { anomalies } from "../check/anomaly.ts";
import { entriesOf, totalOf, type Summary } from "../check/summary.ts";
import type { Verdict } from "../check/verdict.ts";
import type { ChaosReport, MessageCounts, OperationCounts } from "./report.ts";

/** The report as lines of text. */
export function printed(report: ChaosReport): string[] {
  const { messages, operations, faults, complaints } = report;
  return [
    "",
    ...operationLines(operations),
    "",
    ...table([
      ["fault", "strikes", "recovered (median)", "(slowest)"],
      ...Object.entries(faults).map(
        ([
          name,
          {
            strikes,
            recoveredAfter: { median, max },
          },
        ]) => [name, grouped(strikes), milliseconds(median), milliseconds(max)],
      ),
    ]),
    "",
    ...messageLines(messages),
    `drained     ${report.drainedAfter === undefined ? "not at all" : `${report.drainedAfter.toFixed(1)} s after the last fault`}`,
    ...report.leftOut.map((what) => `left out    ${what}`),
    ...Object.entries(complaints).map(
      ([event, count]) => `logged      ${grouped(count)} × ${event}`,
    ),
    "",
    ...verdict(report),
  ];
}

/** What a check alone has to say, with a thousand anomalies of each name: whoever asks for it wants to read them. */
export function printedVerdict(judged: Verdict): string[] {
  const { operations, messages, anomalies: found, counts } = judged;
  return [
    "",
    ...operationLines(operations),
    "",
    ...messageLines(messages),
    "",
    ...found.map(({ name, what }) => `${name}: ${what}`),
    `${found.length === 0 ? "✓" : "✗"} ${grouped(totalOf(counts))} anomalies`,
  ];
}

/** The first of what was found, and how much there is. */
export function anomalyLines({ anomalies: found, counts }: Summary): string[] {
  const all = entriesOf(counts).map(([name, count]) => `    ${grouped(count)} × ${name}`);
  return [
    ...found.slice(0, 40).map(({ name, what }) => `  ${name}: ${what}\n    ${anomalies[name]}`),
    ...(totalOf(counts) > 40 ? ["  in all", ...all] : []),
  ];
}

function operationLines(operations: OperationCounts): string[] {
  return table([
    ["operation", "ok", "refused", "unknown"],
    ...Object.entries(operations).map(([name, { ok, fail, unknown }]) => [
      name,
      grouped(ok),
      grouped(fail),
      grouped(unknown),
    ]),
  ]);
}

function messageLines(messages: MessageCounts): string[] {
  return [
    `messages    ${grouped(messages.sent)} sent: ${grouped(messages.acknowledged)} acknowledged, ` +
      `${grouped(messages.unknown)} with unknown outcome, ${grouped(messages.refused)} refused`,
    `deliveries  ${grouped(messages.deliveries)}, and ${grouped(messages.redeliveries)} received again ` +
      `(${percent(messages.redeliveries, messages.deliveries)})`,
  ];
}

function verdict(report: ChaosReport): string[] {
  const { anomalies: found, counts, seed, seconds, histories } = report;
  if (found.length === 0) return [`✓ no anomaly in ${seconds} s of faults (seed ${seed})`];
  return [
    `✗ ${grouped(totalOf(counts))} anomalies (seed ${seed})`,
    ...anomalyLines(report),
    `  histories kept: npm run chaos -- --check ${histories} checks them again`,
  ];
}

/** The first column to the left, the others to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
}

function grouped(value: number): string {
  return value.toLocaleString("en-US");
}

function milliseconds(value: number): string {
  if (value === Infinity) return "never";
  return value < 1_000 ? `${value} ms` : `${(value / 1_000).toFixed(1)} s`;
}

function percent(part: number, whole: number): string {
  return whole === 0 ? "0 %" : `${((100 * part) / whole).toFixed(2)} %`;
}

import { anomalies } from "../check/anomaly.ts";
import type { ChaosReport } from "./report.ts";

/** The report as lines of text. */
export function printed(report: ChaosReport): string[] {
  const { messages, operations, faults, complaints } = report;
  return [
    "",
    ...table([
      ["operation", "ok", "refused", "unknown"],
      ...Object.entries(operations).map(([name, { ok, fail, unknown }]) => [
        name,
        grouped(ok),
        grouped(fail),
        grouped(unknown),
      ]),
    ]),
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
    `messages    ${grouped(messages.sent)} sent: ${grouped(messages.acknowledged)} acknowledged, ` +
      `${grouped(messages.unknown)} with unknown outcome, ${grouped(messages.refused)} refused`,
    `deliveries  ${grouped(messages.deliveries)}, and ${grouped(messages.redeliveries)} received again ` +
      `(${percent(messages.redeliveries, messages.deliveries)})`,
    `drained     ${report.drainedAfter === undefined ? "not at all" : `${report.drainedAfter.toFixed(1)} s after the last fault`}`,
    ...(report.leftOut.length > 0
      ? [`left out    ${report.leftOut.join(", ")}: this server cannot do it`]
      : []),
    ...Object.entries(complaints).map(
      ([event, count]) => `logged      ${grouped(count)} × ${event}`,
    ),
    "",
    ...verdict(report),
  ];
}

function verdict({ anomalies: found, seed, seconds }: ChaosReport): string[] {
  if (found.length === 0) return [`✓ no anomaly in ${seconds} s of faults (seed ${seed})`];
  const shown = found
    .slice(0, 40)
    .map(({ name, what }) => `  ${name}: ${what}\n    ${anomalies[name]}`);
  return [`✗ ${grouped(found.length)} anomalies (seed ${seed})`, ...shown];
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

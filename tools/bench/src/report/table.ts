import { formatted } from "./numbers.ts";
import type { Report, Row } from "./report.ts";
import type { Figure } from "./statistics.ts";

const width = 100;

/** A report as lines of at most 100 columns. */
export function tableOf(report: Report): string[] {
  const { title, workload, rows, notes } = report;
  const failures = rows.flatMap(({ label, variant, failure }) =>
    failure === undefined ? [] : [`FAILED  ${named(label, variant)}: ${failure}`],
  );
  return [
    title,
    ...wrapped(workload),
    "",
    ...aligned([headOf(report), ...rows.filter(hasFigures).map((row) => cellsOf(report, row))]),
    ...(failures.length + notes.length > 0 ? [""] : []),
    ...failures.flatMap(wrapped),
    ...notes.flatMap(wrapped),
  ];
}

/** How many times the figure of the first system under the same variant: undefined for that system itself. */
export function ratioOf({ metrics, rows }: Report, row: Row): number | undefined {
  const key = metrics[0]?.key ?? "";
  const base = rows.find(({ variant }) => variant === row.variant);
  if (base === undefined || base === row) return undefined;
  const [own, reference] = [row.figures[key]?.median, base.figures[key]?.median];
  return own === undefined || reference === undefined ? undefined : own / reference;
}

function headOf(report: Report): string[] {
  const { metrics } = report;
  const [first, ...others] = metrics.map(({ label }) => label);
  return [
    "",
    ...(hasVariants(report) ? [""] : []),
    first ?? "",
    ...(hasSpread(report) ? ["min – max"] : []),
    ...(hasRatios(report) ? ["ratio"] : []),
    ...others,
  ];
}

function cellsOf(report: Report, row: Row): string[] {
  const [first, ...others] = report.metrics.map(({ key }) => row.figures[key]);
  const ratio = ratioOf(report, row);
  return [
    row.label,
    ...(hasVariants(report) ? [row.variant ?? ""] : []),
    first === undefined ? "" : formatted(first.median),
    ...(hasSpread(report) ? [spreadOf(first)] : []),
    ...(hasRatios(report) ? [ratio === undefined ? "" : `${ratio.toFixed(2)}×`] : []),
    ...others.map((figure) => (figure === undefined ? "" : formatted(figure.median))),
  ];
}

function spreadOf(figure: Figure | undefined): string {
  return figure === undefined ? "" : `${formatted(figure.min)} – ${formatted(figure.max)}`;
}

function hasFigures({ failure }: Row): boolean {
  return failure === undefined;
}

function hasVariants({ rows }: Report): boolean {
  return rows.some(({ variant }) => variant !== undefined);
}

/** Of a round alone there is none. */
function hasSpread({ metrics, rows }: Report): boolean {
  const key = metrics[0]?.key ?? "";
  return rows.some(({ figures }) => (figures[key]?.values.length ?? 0) > 1);
}

function hasRatios(report: Report): boolean {
  return report.ofParts !== true && report.rows.some((row) => ratioOf(report, row) !== undefined);
}

function named(label: string, variant: string | undefined): string {
  return variant === undefined ? label : `${label}, ${variant}`;
}

/** Words to the left, numbers to the right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const columns = rows[0]?.map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const isText = (column: number) => column === 0 || rows[0]?.[column] === "";
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const size = columns?.[column] ?? 0;
        return isText(column) ? cell.padEnd(size) : cell.padStart(size);
      })
      .join("  ")
      .trimEnd(),
  );
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = `  ${word}`;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

import { describeMachine, type Machine } from "./machine.ts";
import { formatted } from "./numbers.ts";
import type { Metric, Report, Row } from "./report.ts";

const size = { width: 860, label: 230, bar: 18, gap: 8, group: 14, top: 30, right: 130, line: 16 };
/** Most characters of a line of small text: what fits where its letters are wide (DejaVu Sans). */
const longest = 140;

/**
 * A report's first metric as bars, one a row, the best one of each variant first, with the spread of its rounds: an SVG
 * that follows light and dark.
 */
export function chartOf(report: Report, machine: Machine): string {
  const metric = report.metrics[0];
  if (metric === undefined) throw new Error("a chart needs a metric");
  const rows = inOrder(
    report.rows.filter(({ failure }) => failure === undefined),
    metric,
  );
  const largest = Math.max(0, ...rows.map((row) => row.figures[metric.key]?.max ?? 0));
  const scale = largest === 0 ? 0 : (size.width - size.label - size.right) / largest;

  const head = [...wrapped(report.workload), directionOf(metric, rows)];
  let y = size.top + head.length * size.line + 16;
  const bars = rows.map((row, index) => {
    if (index > 0 && row.variant !== rows[index - 1]?.variant) y += size.group;
    const bar = barOf(row, { key: metric.key, y, scale, first: report.rows[0]?.label ?? "" });
    y += size.bar + size.gap;
    return bar;
  });
  const notes = [describeMachine(machine), ...report.notes].flatMap(wrapped);
  const small = (lines: readonly string[], from: number) =>
    lines.map(
      (line, index) =>
        `<text class="quiet" x="16" y="${from + index * size.line}">${escaped(line)}</text>`,
    );
  const height = y + 18 + notes.length * size.line;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${height}" width="${size.width}" height="${height}" role="img" aria-label="${escaped(report.title)}">`,
    style,
    `<rect class="page" width="${size.width}" height="${height}" rx="8"/>`,
    `<text class="title" x="16" y="28">${escaped(report.title)}</text>`,
    ...small(head, size.top + size.line),
    ...bars,
    ...small(notes, y + 18),
    "</svg>",
    "",
  ].join("\n");
}

const style = `<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2933; }
  .title { font-size: 17px; font-weight: 600; }
  .quiet { font-size: 11px; fill: #5b6773; }
  .page { fill: #ffffff; }
  .own { fill: #0b7285; }
  .other { fill: #adb5bd; }
  .spread { stroke: #1f2933; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .quiet { fill: #9aa7b4; }
    .page { fill: #0d1117; }
    .own { fill: #3bc9db; }
    .other { fill: #57606a; }
    .spread { stroke: #e6edf3; }
  }
</style>`;

/** The variants as they come, and within each the best first; without what has no such figure. */
function inOrder(rows: readonly Row[], { key, better }: Metric): Row[] {
  const variants = [...new Set(rows.map(({ variant }) => variant))];
  const value = ({ figures }: Row) => figures[key]?.median ?? 0;
  return variants.flatMap((variant) =>
    rows
      .filter((row) => row.variant === variant && row.figures[key] !== undefined)
      .toSorted((one, other) =>
        better === "higher" ? value(other) - value(one) : value(one) - value(other),
      ),
  );
}

function directionOf({ key, unit, better }: Metric, rows: readonly Row[]): string {
  const rounds = Math.max(0, ...rows.map((row) => row.figures[key]?.values.length ?? 0));
  const middle = rounds === 2 ? "mean" : "median";
  const bars =
    rounds > 1 ? `bar: ${middle} of ${rounds} rounds, line: lowest and highest` : "one round";
  return `${unit}, ${better} is better; ${bars}`;
}

function barOf(
  row: Row,
  { key, y, scale, first }: { key: string; y: number; scale: number; first: string },
): string {
  const figure = row.figures[key];
  if (figure === undefined) return "";
  const { label, bar } = size;
  const [median, min, max] = [figure.median, figure.min, figure.max].map((value) =>
    Number((value * scale).toFixed(1)),
  ) as [number, number, number];
  const middle = y + bar / 2;
  const name = row.variant === undefined ? row.label : `${row.label}, ${row.variant}`;
  return [
    `<text x="${label - 10}" y="${middle + 4}" text-anchor="end">${escaped(name)}</text>`,
    `<rect class="${row.label === first ? "own" : "other"}" x="${label}" y="${y}" width="${Math.max(1, median)}" height="${bar}" rx="2"/>`,
    `<path class="spread" d="M${label + min} ${middle}H${label + max}"/>`,
    `<text x="${label + Math.max(median, max) + 8}" y="${middle + 4}">${formatted(figure.median)}</text>`,
  ].join("");
}

/** In as few lines as it takes, none much shorter than the others: no word alone in the last one. */
function wrapped(text: string): string[] {
  const count = cut(text, longest).length;
  let shortest = Math.ceil(text.length / count);
  while (cut(text, shortest).length > count) shortest += 1;
  return cut(text, shortest);
}

function cut(text: string, length: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > length) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

import { expect, test } from "vitest";

import { chartOf } from "./chart.ts";
import type { Report } from "./report.ts";
import { figureOf } from "./statistics.ts";

const machine = { cpu: "a CPU", cores: 2, memoryGiB: 24, system: "Linux 6", node: "v20.1.0" };

const report: Report = {
  name: "fan-out",
  title: "Fan-out <1 to 10> & more",
  workload: "256-byte bodies",
  metrics: [{ key: "rate", label: "deliveries/s", unit: "deliveries a second", better: "higher" }],
  rows: [
    { label: "Sluice", figures: { rate: figureOf([90, 100, 120]) } },
    { label: "Other", figures: { rate: figureOf([25, 50, 60]) } },
    { label: "Broken", figures: {}, failure: "lost 3" },
  ],
  notes: ["Other 1.2: flushed to disk"],
};

test("bars are as long as their medians are large", () => {
  const widths = [
    ...chartOf(report, machine).matchAll(/class="(own|other)"[^>]* width="([\d.]+)"/g),
  ];
  expect(widths.map(([, kind]) => kind)).toEqual(["own", "other"]);
  const [own = 0, other = 0] = widths.map(([, , width]) => Number(width));
  expect(own / other).toBeCloseTo(2, 1);
});

test("bars are in order of their figures, the best one first, within each variant", () => {
  const rows = (variant: string, ...rates: number[]) =>
    rates.map((rate, index) => ({
      label: `${variant} ${index}`,
      variant,
      figures: { rate: figureOf([rate]) },
    }));
  const unsorted = { ...report, rows: [...rows("a", 10, 30, 20), ...rows("b", 40, 50)] };
  const [metric] = report.metrics;
  const lower = { ...unsorted, metrics: [{ ...metric!, better: "lower" as const }] };
  const namesIn = (svg: string) =>
    [...svg.matchAll(/text-anchor="end">(\w \d)/g)].map(([, name]) => name);
  expect(namesIn(chartOf(unsorted, machine))).toEqual(["a 1", "a 2", "a 0", "b 1", "b 0"]);
  expect(namesIn(chartOf(lower, machine))).toEqual(["a 0", "a 2", "a 1", "b 0", "b 1"]);
});

test("one's own bar has its colour wherever it comes", () => {
  const rows = [report.rows[1]!, { label: "Faster", figures: { rate: figureOf([500]) } }];
  const svg = chartOf({ ...report, rows }, machine);
  expect([...svg.matchAll(/class="(own|other)"/g)].map(([, kind]) => kind)).toEqual([
    "other",
    "own",
  ]);
});

test("a chart says what bar and line are, of how many rounds", () => {
  const of = (...rates: number[]) =>
    chartOf(
      { ...report, rows: [{ label: "Sluice", figures: { rate: figureOf(rates) } }] },
      machine,
    );
  expect(of(1, 2, 3)).toContain("bar: median of 3 rounds, line: lowest and highest");
  expect(of(1, 2)).toContain("bar: mean of 2 rounds, line: lowest and highest");
  expect(of(1)).toContain("higher is better; one round");
});

test("long texts are shown whole, in lines that are about as long as each other", () => {
  const words = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
  const svg = chartOf({ ...report, workload: words, notes: [words] }, machine);
  const lines = [...svg.matchAll(/class="quiet"[^>]*>([^<]*word[^<]*)</g)].map(([, text]) => text!);
  expect(lines.join(" ")).toBe(`${words} ${words}`);
  const lengths = lines.map(({ length }) => length);
  expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThan(20);
});

test("the longest bar and its figure stay inside the picture", () => {
  const svg = chartOf(report, machine);
  const ends = [...svg.matchAll(/class="spread" d="M[\d.]+ [\d.]+H([\d.]+)"/g)].map(([, x]) =>
    Number(x),
  );
  expect(Math.max(...ends)).toBeLessThanOrEqual(860 - 100);
});

test("a chart names the machine, the settings and the direction in which to read it", () => {
  const svg = chartOf(report, machine);
  for (const text of ["2 cores (a CPU)", "Other 1.2: flushed to disk", "higher is better"])
    expect(svg).toContain(text);
});

test("a chart has colours for light and for dark pages", () => {
  expect(chartOf(report, machine)).toContain("prefers-color-scheme: dark");
});

test("a chart is well-formed whatever the texts are, and leaves out what failed", () => {
  const svg = chartOf(report, machine);
  expect(svg).toContain("Fan-out &lt;1 to 10&gt; &amp; more");
  expect(svg).not.toContain("Broken");
  const opened = [...svg.matchAll(/<([a-z]+)(?:[^>]*[^/])?>/g)].map(([, tag]) => tag);
  const closed = [...svg.matchAll(/<\/([a-z]+)>/g)].map(([, tag]) => tag);
  expect(opened.toSorted()).toEqual(closed.toSorted());
});

import { expect, test } from "vitest";

import type { Report } from "./report.ts";
import { figureOf } from "./statistics.ts";
import { ratioOf, tableOf } from "./table.ts";

const report: Report = {
  name: "fan-out",
  title: "Bulk fan-out",
  workload: "a sentence about the workload that is far longer than the table is wide ".repeat(3),
  metrics: [
    { key: "rate", label: "deliveries/s", unit: "deliveries a second", better: "higher" },
    { key: "cpu", label: "client µs", unit: "microseconds", better: "lower" },
  ],
  rows: [
    row("Sluice", "1 queue", [100_000, 120_000, 110_000]),
    row("RabbitMQ quorum", "1 queue", [10_000, 11_000, 12_000]),
    row("Sluice", "100 queues", [50, 51, 52]),
    row("RabbitMQ quorum", "100 queues", [102, 102, 102]),
    { label: "BullMQ", variant: "100 queues", figures: {}, failure: "7 received twice" },
  ],
  notes: ["RabbitMQ: durable ".repeat(12)],
};

function row(label: string, variant: string, rates: number[]) {
  return { label, variant, figures: { rate: figureOf(rates), cpu: figureOf([12.34]) } };
}

test("a table has a line for each row, with the ratio to the first system of the same variant", () => {
  const lines = tableOf(report);
  expect(lines).toContainEqual(
    "RabbitMQ quorum  1 queue           11,000    10,000 – 12,000  0.10×       12.3",
  );
  expect(lines).toContainEqual(
    "RabbitMQ quorum  100 queues           102          102 – 102  2.00×       12.3",
  );
});

test("no line of a table is wider than 100 columns", () => {
  for (const line of tableOf(report)) expect(line.length).toBeLessThanOrEqual(100);
});

test("parts of one system are not compared, and one round has no spread", () => {
  const parts = ["API", "Dispatcher"].map((label) => ({
    label,
    figures: { rate: figureOf([1_000]), cpu: figureOf([2]) },
  }));
  const lines = tableOf({ ...report, ofParts: true, rows: parts });
  expect(lines).toContainEqual("            deliveries/s  client µs");
  expect(lines).toContainEqual("Dispatcher         1,000       2.00");
});

test("what failed is told and has no figures", () => {
  const lines = tableOf(report);
  expect(lines).toContain("FAILED  BullMQ, 100 queues: 7 received twice");
  expect(lines.filter((line) => line.startsWith("BullMQ"))).toEqual([]);
});

test("the first system has no ratio to itself", () => {
  expect(report.rows.map((each) => ratioOf(report, each))).toEqual([
    undefined,
    0.1,
    undefined,
    2,
    undefined,
  ]);
});

import { expect, test } from "vitest";
import type { Anomaly } from "./anomaly.ts";
import { summarize, together, totalOf } from "./summary.ts";

test("of each name a thousand anomalies are told, and all are counted", () => {
  const doubled = Array.from({ length: 2_500 }, (_, index): Anomaly => ({
    name: "doubled-delivery",
    what: `message ${index}`,
  }));
  const lost: Anomaly = { name: "lost-tail", what: "the last message" };
  const { anomalies, counts } = summarize([...doubled, lost]);
  expect(counts).toEqual({ "doubled-delivery": 2_500, "lost-tail": 1 });
  expect(anomalies).toEqual([...doubled.slice(0, 1_000), lost]);
  const twice = together({ anomalies, counts }, { anomalies, counts });
  expect(twice.anomalies).toHaveLength(1_002);
  expect(twice.counts).toEqual({ "doubled-delivery": 5_000, "lost-tail": 2 });
});

test("what two checks found is counted together", () => {
  const died: Anomaly = { name: "process-died", what: "the API" };
  const overlap: Anomaly = { name: "overlap", what: "batch 1" };
  const found = together(summarize([died, overlap]), {
    anomalies: [overlap],
    counts: { overlap: 5_000 },
  });
  expect(found.anomalies).toEqual([died, overlap, overlap]);
  expect(found.counts).toEqual({ "process-died": 1, overlap: 5_001 });
  expect(totalOf(found.counts)).toBe(5_002);
});

test("where nothing was found nothing is counted", () => {
  expect(summarize([])).toEqual({ anomalies: [], counts: {} });
  expect(totalOf({})).toBe(0);
});

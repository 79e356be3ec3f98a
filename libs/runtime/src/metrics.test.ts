import { Counter } from "prom-client";
import { expect, test } from "vitest";
import { createMetrics, metricsPage } from "./metrics.ts";

test("the page has process metrics and those that were added", async () => {
  const metrics = createMetrics();
  new Counter({ name: "sluice_test_total", help: "A test.", registers: [metrics] }).inc(3);
  const { contentType, body } = await metricsPage(metrics);
  expect(contentType).toContain("text/plain; version=0.0.4");
  expect(body).toMatch(/^process_resident_memory_bytes \d+/m);
  expect(body).toMatch(/^nodejs_eventloop_utilization_ratio [\d.e-]+$/m);
  expect(body).toMatch(/^sluice_test_total 3$/m);
});

test("two registries share nothing", async () => {
  createMetrics();
  const { body } = await metricsPage(createMetrics());
  expect(body.match(/^process_resident_memory_bytes /gm)).toHaveLength(1);
});

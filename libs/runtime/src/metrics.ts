import { performance } from "node:perf_hooks";
import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
import { lostLines } from "./log/logger.ts";

/** What a metrics endpoint answers: Prometheus' text format 0.0.4. */
export interface MetricsPage {
  contentType: string;
  body: string;
}

/**
 * A registry with the process metrics that dashboards know (`process_cpu_*`, `process_resident_memory_bytes`,
 * `nodejs_gc_*`, …) and that of its log. Each call makes a registry of its own, so tests do not meet each other.
 *
 * @example
 * const metrics = createMetrics()
 * const published = new Counter({ name: "sluice_published_total", help: "…", registers: [metrics] })
 */
export function createMetrics(): Registry {
  const registry = new Registry();
  // prom-client samples the event loop every 10 ms, which alone costs an idle process 0.4 % of a core (measured);
  // utilization says the same for free.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 3_600_000 });
  for (const part of ["min", "max", "mean", "stddev", "p50", "p90", "p99"]) {
    registry.removeSingleMetric(`nodejs_eventloop_lag_${part}_seconds`);
  }
  addEventLoopUtilization(registry);
  addLostLines(registry);
  return registry;
}

/** The text of a metrics endpoint. */
export async function metricsPage(registry: Registry): Promise<MetricsPage> {
  return { contentType: registry.contentType, body: await registry.metrics() };
}

function addLostLines(registry: Registry): void {
  new Counter({
    name: "sluice_log_lines_lost_total",
    help: "Lines of the log that were lost, since nobody took them.",
    registers: [registry],
    collect() {
      this.reset();
      this.inc(lostLines());
    },
  });
}

function addEventLoopUtilization(registry: Registry): void {
  let last = performance.eventLoopUtilization();
  new Gauge({
    name: "nodejs_eventloop_utilization_ratio",
    help: "Share of time since the last scrape in which the event loop was busy, 0 to 1.",
    registers: [registry],
    collect() {
      const now = performance.eventLoopUtilization();
      this.set(performance.eventLoopUtilization(now, last).utilization);
      last = now;
    },
  });
}

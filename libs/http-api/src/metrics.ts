import type { Observer } from "@sluice/engine";
import type { Logger } from "@sluice/runtime";
import { Counter, Histogram, type Registry } from "prom-client";

/** The counters of messages on their way; docs/metrics.md lists them. */
export function messageMetrics(registry: Registry, logger: Logger): Observer {
  const counter = (name: string, help: string) =>
    new Counter({ name, help, registers: [registry] });
  const published = counter("sluice_messages_published_total", "Messages published to topics.");
  const sent = counter("sluice_messages_sent_total", "Messages sent straight to queues.");
  const batches = counter("sluice_batches_fanned_out_total", "Stored batches fanned out.");
  const deliveries = counter(
    "sluice_deliveries_total",
    "Messages fanned out, times the queues they went to.",
  );
  const received = counter(
    "sluice_messages_received_total",
    "Messages handed to consumers, repeats included.",
  );
  const acknowledged = counter("sluice_messages_acknowledged_total", "Messages acknowledged.");
  const deadLettered = counter(
    "sluice_messages_dead_lettered_total",
    "Messages moved to a dead-letter queue.",
  );
  const released = counter(
    "sluice_messages_released_total",
    "Messages given back because their client had gone.",
  );
  const failures = new Counter({
    name: "sluice_background_failures_total",
    help: "Failures in the background, each of which is tried again.",
    labelNames: ["duty"],
    registers: [registry],
  });
  return {
    published: (messages) => {
      published.inc(messages);
    },
    sent: (messages) => {
      sent.inc(messages);
    },
    fannedOut: (batchCount, deliveryCount) => {
      batches.inc(batchCount);
      deliveries.inc(deliveryCount);
    },
    received: (messages) => {
      received.inc(messages);
    },
    acknowledged: (messages) => {
      acknowledged.inc(messages);
    },
    deadLettered: (messages) => {
      deadLettered.inc(messages);
    },
    released: (messages) => {
      released.inc(messages);
    },
    failed: (duty, err) => {
      failures.inc({ duty });
      logger.warn(
        { event: "background.failed", duty, err },
        `${duty} failed; it will be tried again`,
      );
    },
  };
}

/** Requests by route and status; long polls make their seconds meaningless for `/receive`. */
export function requestMetrics(registry: Registry) {
  const seconds = new Histogram({
    name: "sluice_http_request_seconds",
    help: "Time from the request line to the answer, in seconds.",
    labelNames: ["method", "route", "status"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 20],
    registers: [registry],
  });
  return (request: { method: string; route: string; status: number; seconds: number }) => {
    seconds.observe(
      { method: request.method, route: request.route, status: request.status },
      request.seconds,
    );
  };
}

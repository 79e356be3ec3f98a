import type { Observer } from "@sluice/engine";
import type { Logger } from "@sluice/runtime";
import { Counter, Gauge, Histogram, type Registry } from "prom-client";

import type { AnsweredRequest } from "./direct-way.ts";

/** What becomes of messages: names and meanings, by what an observer is told of each. docs/metrics.md lists them. */
const messageCounters = {
  published: ["sluice_messages_published_total", "Messages published to topics."],
  sent: ["sluice_messages_sent_total", "Messages sent straight to queues."],
  received: ["sluice_messages_received_total", "Messages handed to consumers, repeats included."],
  acknowledged: ["sluice_messages_acknowledged_total", "Messages acknowledged."],
  deadLettered: ["sluice_messages_dead_lettered_total", "Messages moved to a dead-letter queue."],
  expired: ["sluice_messages_expired_total", "Messages removed at the end of their retention."],
  purged: ["sluice_messages_purged_total", "Messages purged."],
  cancelled: ["sluice_messages_cancelled_total", "Messages taken back while they were delayed."],
  redriven: ["sluice_messages_redriven_total", "Messages moved out of a dead-letter queue."],
  replayed: [
    "sluice_messages_replayed_total",
    "Messages put into a queue again, out of the archive of a topic.",
  ],
  released: [
    "sluice_messages_released_total",
    "Messages given back because their client had gone, or was answered without them.",
  ],
} as const satisfies Partial<Record<keyof Observer, readonly [name: string, help: string]>>;

type CountsMessages = Pick<Observer, keyof typeof messageCounters>;

/** Turns what an observer is told into metrics, and failures into lines of the log as well. */
export function messageMetrics(registry: Registry, logger: Logger): Observer {
  const counter = (name: string, help: string) =>
    new Counter({ name, help, registers: [registry] });
  const counting = Object.entries(messageCounters).map(([of, [name, help]]) => {
    const messages = counter(name, help);
    const told = (count: number) => {
      messages.inc(count);
    };
    return [of, told] as const;
  });
  const batches = counter("sluice_batches_fanned_out_total", "Stored batches fanned out.");
  const deliveries = counter(
    "sluice_deliveries_total",
    "Messages fanned out, times the queues they went to.",
  );
  const failures = new Counter({
    name: "sluice_background_failures_total",
    help: "Failures in the background, each of which is tried again.",
    labelNames: ["duty"],
    registers: [registry],
  });
  return {
    ...(Object.fromEntries(counting) as unknown as CountsMessages),
    ...stateMetrics(registry),
    fannedOut: (batchCount, deliveryCount) => {
      batches.inc(batchCount);
      deliveries.inc(deliveryCount);
    },
    dutyFailed: (duty) => {
      failures.inc({ duty });
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

/** What is so at this moment, as it was looked at last. */
function stateMetrics(
  registry: Registry,
): Pick<Observer, "queuesHold" | "horizonHeld" | "outboxWaits"> {
  const holds = new Gauge({
    name: "sluice_queue_messages",
    help: "Messages in a queue.",
    labelNames: ["account", "queue", "state"],
    registers: [registry],
  });
  const oldest = new Gauge({
    name: "sluice_queue_oldest_message_age_seconds",
    help: "Age of the oldest message of a queue, in seconds; 0 when it is empty.",
    labelNames: ["account", "queue"],
    registers: [registry],
  });
  const horizonHeld = knownAge(
    registry,
    "sluice_xmin_age_seconds",
    "For how long something has kept dead rows from being removed, in seconds; absent when that is not known.",
  );
  const outboxWaits = knownAge(
    registry,
    "sluice_outbox_oldest_batch_age_seconds",
    "Age of the oldest stored batch that waits for its fan-out, in seconds; 0 when none does, absent when that is not known.",
  );
  return {
    queuesHold: (queues) => {
      holds.reset();
      oldest.reset();
      for (const { account, queue, counts } of queues) {
        holds.set({ account, queue, state: "visible" }, counts.visible);
        holds.set({ account, queue, state: "inFlight" }, counts.inFlight);
        holds.set({ account, queue, state: "delayed" }, counts.delayed);
        oldest.set({ account, queue }, counts.oldestMessageAge ?? 0);
      }
    },
    horizonHeld,
    outboxWaits,
  };
}

/** A gauge that is absent while nobody knows, from the beginning: 0 would look well. */
function knownAge(registry: Registry, name: string, help: string) {
  const gauge = new Gauge({ name, help, registers: [registry] });
  const unknown = () => {
    gauge.remove();
  };
  unknown();
  return (seconds: number | undefined) => {
    if (seconds === undefined) unknown();
    else gauge.set(seconds);
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
  return (request: AnsweredRequest) => {
    seconds.observe(
      { method: request.method, route: request.route, status: request.status },
      request.seconds,
    );
  };
}

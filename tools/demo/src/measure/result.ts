import type { QueueCounts } from "@sluice/client";
import type { Latency } from "./latency.ts";

export const services = ["audit", "counter", "slow"] as const;

export type ServiceName = (typeof services)[number];

/** What `npm run demo -- --json` prints. */
export interface DemoResult {
  /** Whether everything published was handled exactly once, unchanged, by every service. */
  readonly ok: boolean;
  /** One sentence for everything that is off. */
  readonly problems: readonly string[];
  /** From the first publish to the last success. */
  readonly seconds: number;
  readonly published: PublishedResult;
  readonly queues: Readonly<Record<ServiceName, QueueResult>>;
  /** What was done to the system meanwhile. */
  readonly incidents: readonly Incident[];
}

export interface PublishedResult {
  readonly messages: number;
  readonly bytes: number;
  /** Of all bodies with their message ids. */
  readonly sha256: string;
  /** How many of them are of each event type. */
  readonly eventTypes: Readonly<Record<string, number>>;
}

export interface QueueResult {
  /** Deliveries to the service, redelivered ones included. */
  readonly received: number;
  readonly redelivered: number;
  /** Different messages that the service has handled. */
  readonly distinct: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly latencyMs: Latency;
  /** What the queue still holds at the end. */
  readonly left: Left;
}

export type Left = Pick<QueueCounts, "visible" | "inFlight" | "delayed">;

export interface Incident {
  readonly what: "dispatcher killed" | "dispatcher started" | "NATS killed" | "NATS started";
  /** How many messages had been published by then. */
  readonly atMessage: number;
}

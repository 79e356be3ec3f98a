import { randomBytes } from "node:crypto";

import { connect, topic as declareTopic } from "@sluice/client";
import { createProducer } from "@sluice/producer";

import type { Assignment, Report } from "./workload.ts";

/** Child process: publishes everything when told to start. */
process.once("message", (assignment: Assignment) => {
  const { url, workload, topic } = assignment;
  const producer = createProducer(connect({ url }));
  const declared = declareTopic(topic);
  // Not compressible, and made before the clock starts.
  const bodies = Array.from({ length: workload.publishBatch }, () =>
    randomBytes(workload.bodyBytes).toString("base64").slice(0, workload.bodyBytes),
  );
  process.once("message", () => {
    void publishAll(workload.messages);
  });
  report({ type: "ready" });

  async function publishAll(messages: number): Promise<void> {
    let left = messages;
    const loop = async () => {
      while (left > 0) {
        const count = Math.min(left, bodies.length);
        left -= count;
        await producer.publishAll(declared, bodies.slice(0, count));
      }
    };
    await Promise.all(Array.from({ length: workload.publishers }, loop));
    report({ type: "done", count: messages, cpuSeconds: cpuSeconds() });
    process.disconnect();
  }
});

function report(message: Report): void {
  process.send?.(message);
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { connect, createAdmin } from "@sluice/client";

import type { Assignment, Report, Workload } from "./workload.ts";

export interface RoundResult {
  seconds: number;
  deliveries: number;
  deliveriesPerSecond: number;
  /** CPU seconds of the processes that publish and consume. */
  clientCpuSeconds: number;
}

/** Runs one round in names of its own: everything published, and received and acknowledged in every queue. */
export async function runRound(
  url: string,
  workload: Workload,
  round: string,
): Promise<RoundResult> {
  const topic = `bench-${round}`;
  const queues = Array.from(
    { length: workload.queues },
    (_, index) => `bench-${round}-${index + 1}`,
  );
  const admin = createAdmin(connect({ url }));
  await admin.topics.create(topic);
  for (const queue of queues) {
    await admin.queues.create(queue);
    await admin.subscribe(topic, queue);
  }

  const consumers = spread(queues, workload.consumerProcesses).map((some) =>
    startChild("consumers.js", { url, workload, topic, queues: some }),
  );
  const producer = startChild("producer.js", { url, workload, topic, queues: [] });
  const result = await measure(producer, consumers);
  if (result.deliveries !== workload.messages * workload.queues) {
    throw new Error(
      `${result.deliveries} deliveries instead of ${workload.messages * workload.queues}: lost or doubled`,
    );
  }

  for (const queue of queues) await admin.queues.delete(queue);
  await admin.topics.delete(topic);
  return result;
}

async function measure(producer: ChildProcess, consumers: ChildProcess[]): Promise<RoundResult> {
  const children = [producer, ...consumers];
  try {
    await Promise.all(children.map((child) => nextReport(child, "ready")));
    const started = performance.now();
    producer.send("start");
    const reports = await Promise.all(children.map((child) => nextReport(child, "done")));
    const seconds = (performance.now() - started) / 1_000;
    const deliveries = reports.slice(1).reduce((sum, report) => sum + report.count, 0);
    return {
      seconds,
      deliveries,
      deliveriesPerSecond: deliveries / seconds,
      clientCpuSeconds: reports.reduce((sum, report) => sum + report.cpuSeconds, 0),
    };
  } finally {
    // When one of them fails the others would wait for ever.
    for (const child of children) child.kill();
  }
}

function startChild(script: string, assignment: Assignment): ChildProcess {
  const child = fork(fileURLToPath(new URL(script, import.meta.url)));
  child.send(assignment);
  return child;
}

async function nextReport(
  child: ChildProcess,
  type: Report["type"],
): Promise<{ count: number; cpuSeconds: number }> {
  const died = once(child, "exit").then(([code]) => {
    throw new Error(
      `a child process of the benchmark ended with code ${String(code)} before it was done`,
    );
  });
  const reported = once(child, "message") as Promise<[Report]>;
  const [report] = await Promise.race([reported, died]);
  died.catch(() => undefined);
  if (report.type !== type) throw new Error(`expected the report "${type}", got "${report.type}"`);
  return report.type === "done" ? report : { count: 0, cpuSeconds: 0 };
}

/** Deals the queues out to so many processes. */
function spread(queues: readonly string[], processes: number): string[][] {
  return Array.from({ length: processes }, (_, index) =>
    queues.filter((__, at) => at % processes === index),
  );
}

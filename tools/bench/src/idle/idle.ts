import { setTimeout as sleep } from "node:timers/promises";

import { connect, createAdmin, queue } from "@sluice/client";
import { createConsumer } from "@sluice/consumer";

export interface IdleOptions {
  /** The API whose long polls wait, and all processes whose CPU is counted, by their addresses. */
  url: string;
  services: { name: string; url: string }[];
  /** Empty queues, each with one long poll. */
  longPolls: number;
  seconds: number;
}

export interface IdleResult {
  name: string;
  /** CPU time over wall time, in percent of one core. */
  cpuPercent: number;
  /** Resident memory at the end, in MiB. */
  memoryMiB: number;
}

const SETTLE_SECONDS = 10;

/** What the processes cost while nothing happens but waiting: their own metrics, before and after. */
export async function measureIdle(options: IdleOptions): Promise<IdleResult[]> {
  const { url, services, longPolls, seconds } = options;
  const connection = connect({ url });
  const admin = createAdmin(connection);
  const run = Date.now().toString(36);
  const names = Array.from({ length: longPolls }, (_, index) => `idle-${run}-${index}`);
  for (const name of names) await admin.queues.create(name);
  const consumers = names.map((name) => createConsumer(connection, queue(name)));
  const running = consumers.map((consumer) => consumer.run(() => undefined));
  try {
    await sleep(SETTLE_SECONDS * 1_000);
    const before = await Promise.all(services.map((service) => readMetrics(service.url)));
    const started = performance.now();
    await sleep(seconds * 1_000);
    const after = await Promise.all(services.map((service) => readMetrics(service.url)));
    const elapsed = (performance.now() - started) / 1_000;
    return services.map(({ name }, index) => ({
      name,
      cpuPercent: (((after[index]?.cpu ?? 0) - (before[index]?.cpu ?? 0)) / elapsed) * 100,
      memoryMiB: (after[index]?.memory ?? 0) / 2 ** 20,
    }));
  } finally {
    await Promise.all(consumers.map((consumer) => consumer.stop()));
    await Promise.all(running);
    for (const name of names) await admin.queues.delete(name);
  }
}

async function readMetrics(url: string): Promise<{ cpu: number; memory: number }> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)`, "m").exec(text)?.[1]);
  return {
    cpu: value("process_cpu_seconds_total"),
    memory: value("process_resident_memory_bytes"),
  };
}

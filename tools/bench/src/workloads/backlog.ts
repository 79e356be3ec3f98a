import { connect, createAdmin } from "@sluice/client";

import type { Bench, Benchmark } from "../bench.ts";
import type { Row } from "../report/report.ts";
import { figureOf, percentiles } from "../report/statistics.ts";
import { fill } from "./fill.ts";
import { receiveTimed } from "./receive-timed.ts";

/** Messages of one timed stretch; the queue is filled up again after each, so that the backlog stays what it is. */
const stretch = 10_000;

/** Whether a receive gets slower, and the counts too slow, with what waits in a queue. */
export const backlog: Benchmark = {
  name: "backlog",
  help: "receive rate and counts with 10,000 and with 5 million messages waiting",
  run: async (bench) => {
    const sizes = bench.options.backlog ?? [10_000, 5_000_000];
    await using running = await bench.start("sluice");
    const url = running.address["url"] ?? "";
    const rows: Row[] = [];
    for (const size of sizes) rows.push(await measure(bench, url, size));
    return {
      name: "backlog",
      title: "Receiving from a queue in which much waits",
      workload: `256-byte bodies; ${stretch.toLocaleString("en-US")} at a time are received in calls of 1,000, acknowledged and sent anew; counts by GET /v1/queues/{queue}, to be under 50 ms`,
      metrics: [
        {
          key: "perSecond",
          label: "received/s",
          unit: "received and acknowledged a second",
          better: "higher",
        },
        {
          key: "receive",
          label: "receive p99 ms",
          unit: "milliseconds a receive",
          better: "lower",
        },
        { key: "counts", label: "counts p50 ms", unit: "milliseconds", better: "lower" },
        { key: "countsMax", label: "counts max ms", unit: "milliseconds", better: "lower" },
      ],
      rows,
      notes: [running.description],
    };
  },
};

async function measure({ options, say }: Bench, url: string, size: number): Promise<Row> {
  const label = `${size.toLocaleString("en-US")} waiting`;
  const queue = `backlog-${Date.now().toString(36)}`;
  const admin = createAdmin(connect({ url }));
  say(`loading ${label}`);
  await fill({ url, queue, messages: size, say });
  const portion = Math.min(stretch, size);
  const batch = Math.min(1_000, portion);
  const seen = new Set<number>();
  const rates: number[] = [];
  const receives: number[] = [];
  let first = size;
  for (let round = options.warmUp ? 0 : 1; round <= options.rounds; round += 1) {
    const timed = await receiveTimed(
      { url, queue, receives: Math.ceil(portion / batch), maxMessages: batch },
      seen,
    );
    await fill({ url, queue, messages: portion, first });
    first += portion;
    say(`${label}: ${timed.perSecond.toFixed(0)} received/s`);
    if (round === 0) continue;
    rates.push(timed.perSecond);
    receives.push(...timed.receives);
  }
  const counts = await timeCounts(async () => admin.queues.get(queue));
  const { counts: end } = await admin.queues.get(queue);
  await admin.queues.delete(queue);
  const held = end.visible + end.inFlight;
  if (seen.size + held !== first)
    throw new Error(`${seen.size} received and ${held} left of ${first} messages`);
  const [receive = 0] = percentiles(Float64Array.from(receives), 99);
  return {
    label,
    figures: {
      perSecond: figureOf(rates),
      receive: figureOf([receive]),
      counts: figureOf(counts),
      countsMax: figureOf([Math.max(...counts)]),
    },
  };
}

async function timeCounts(read: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let call = 0; call < 20; call += 1) {
    const before = performance.now();
    await read();
    times.push(performance.now() - before);
  }
  return times;
}

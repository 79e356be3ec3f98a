import { connect, createAdmin, SluiceError, type QueueSettings } from "@sluice/client";

import type { Benchmark } from "../bench.ts";
import { compare } from "../compare.ts";
import type { Load } from "../load/load.ts";
import { runLoad } from "../load/run-load.ts";
import type { Report, Row } from "../report/report.ts";
import { figureOf, percentiles } from "../report/statistics.ts";
import { Unavailable, type RunningSystem } from "../systems/system.ts";
import { fill } from "./fill.ts";
import { receiveTimed } from "./receive-timed.ts";
import { bulk, loadOf } from "./throughput.ts";

/**
 * Messages of a group in their order, groups side by side: how the number of groups bounds the rate. The order is
 * checked.
 *
 * The receives are small and several at once, as workers make them: a receive that takes a thousand messages of one
 * group would hide that a group is in one hand at a time.
 */
export const fifo: Benchmark = {
  name: "fifo",
  help: "a FIFO queue with 1, 10, 100 and 1,000 message groups",
  run: async (bench): Promise<Report> => {
    const groups = bench.options.groups ?? [1, 10, 100, 1_000];
    const base: Load = {
      ...loadOf(
        { ...bulk, messages: 20_000, receiveBatch: 10, receivers: 8, consumerProcesses: 1 },
        bench,
      ),
      via: "queues",
      queues: 1,
      publishFirst: true,
    };
    return compare(bench, {
      name: "fifo",
      title: "A FIFO queue by its number of message groups",
      workload: `${base.messages.toLocaleString("en-US")} messages dealt to the groups in turn, sent in calls of ${base.publishBatch}, one after another, then received by ${base.receivers} workers in batches of up to ${base.receiveBatch} and acknowledged; the order in each group is checked`,
      metrics: [
        {
          key: "perSecond",
          label: "messages/s",
          unit: "messages a second, received in order and acknowledged",
          better: "higher",
        },
        { key: "sent", label: "sent/s", unit: "messages sent a second", better: "higher" },
      ],
      systems: ["sluice"],
      variants: groups.map((count) => ({
        label: count === 1 ? "1 group" : `${count} groups`,
        variant: { ...base, groups: count },
      })),
      round: async (contestant, load, round) => {
        await requireFifo(contestant.running);
        const result = await runLoad({ ...contestant, load, round });
        return { perSecond: result.deliveriesPerSecond, sent: result.publishedPerSecond };
      },
    });
  },
};

/** Whether finding a free group gets slow among many. */
export const fifoBacklog: Benchmark = {
  name: "fifo-backlog",
  help: "a FIFO queue with 10,000 groups and 1 million messages waiting: receive p99",
  run: async (bench): Promise<Report> => {
    const [groups = 10_000] = bench.options.groups ?? [];
    const [messages = 1_000_000] = bench.options.backlog ?? [];
    await using running = await bench.start("sluice");
    await requireFifo(running);
    const url = running.address["url"] ?? "";
    const queue = `bench-${Date.now().toString(36)}.fifo`;
    bench.say(`loading ${messages} messages`);
    await fill({ url, queue, messages, groups, say: bench.say });
    const receives = Math.min(1_000, Math.floor(messages / 20));
    const timed = await receiveTimed({ url, queue, receives, maxMessages: 10 }, new Set());
    await createAdmin(connect({ url })).queues.delete(queue);
    const [p50 = 0, p99 = 0] = percentiles(timed.receives, 50, 99);
    const row: Row = {
      label: "Sluice",
      figures: {
        p99: figureOf([p99]),
        p50: figureOf([p50]),
        perSecond: figureOf([timed.perSecond]),
      },
    };
    return {
      name: "fifo-backlog",
      title: `A FIFO queue with ${groups.toLocaleString("en-US")} groups and ${messages.toLocaleString("en-US")} messages`,
      workload: `${receives} receives of up to 10, one after another, each acknowledged`,
      metrics: [
        { key: "p99", label: "p99 ms", unit: "milliseconds a receive", better: "lower" },
        { key: "p50", label: "p50 ms", unit: "milliseconds a receive", better: "lower" },
        { key: "perSecond", label: "received/s", unit: "messages a second", better: "higher" },
      ],
      rows: [row],
      notes: [running.description],
    };
  },
};

async function requireFifo(running: RunningSystem): Promise<void> {
  const { queues } = createAdmin(connect({ url: running.address["url"] ?? "" }));
  const name = `probe-${Date.now().toString(36)}.fifo`;
  const settings: QueueSettings & { fifo?: boolean } = { fifo: true };
  try {
    await queues.create(name, settings);
    await queues.delete(name);
  } catch (error) {
    if (error instanceof SluiceError && !error.retryable)
      throw new Unavailable("FIFO queues are not available in this version");
    throw error;
  }
}

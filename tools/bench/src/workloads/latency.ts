import type { Benchmark } from "../bench.ts";
import { compare } from "../compare.ts";
import type { Load } from "../load/load.ts";
import { runLoad } from "../load/run-load.ts";
import { percentiles } from "../report/statistics.ts";
import { bulk, describeLoad, loadOf } from "./throughput.ts";

/**
 * How long it goes on before latencies count, for every system: the processes of the load are new, and what V8 has not
 * compiled yet would be the 99th percentile of all that comes after.
 */
const warmUpSeconds = 5;

/**
 * From the moment at which a publish is due to the arrival at its consumers, at a rate that every system should bear.
 */
export const latency: Benchmark = {
  name: "latency",
  help: "publish to receive at 1,000 publishes a second to 10 queues: p50, p99, p99.9",
  run: async (bench) => {
    const { rate = 1_000, seconds = 20, messages } = bench.options;
    const untimed = messages === undefined && bench.options.warmUp ? rate * warmUpSeconds : 0;
    const load: Load = {
      ...loadOf({ ...bulk, publishBatch: 1, publishers: 256, receiveBatch: 100 }, bench),
      messages: untimed + (messages ?? rate * seconds),
      untimed,
      rate,
    };
    return compare(bench, {
      name: "latency",
      title: `Latency at ${rate.toLocaleString("en-US")} publishes a second to ${load.queues} queues`,
      workload: `${describeLoad(load)}; ${untimed.toLocaleString("en-US")} messages come before those whose latency counts`,
      metrics: [
        { key: "p99", label: "p99 ms", unit: "milliseconds, 99th percentile", better: "lower" },
        { key: "p50", label: "p50 ms", unit: "milliseconds, median", better: "lower" },
        { key: "p999", label: "p99.9 ms", unit: "milliseconds", better: "lower" },
      ],
      systems: [
        "sluice",
        "sluice-unbatched",
        "jetstream",
        "jetstream-sync",
        "rabbitmq",
        "rabbitmq-quorum",
        "pgmq",
        "pg-boss",
        "bullmq",
      ],
      variants: [{ variant: load }],
      round: async (contestant, variant, round) => {
        const { latencies } = await runLoad({ ...contestant, load: variant, round });
        const [p50 = 0, p99 = 0, p999 = 0] = percentiles(latencies, 50, 99, 99.9).map(
          (micros) => micros / 1_000,
        );
        return { p50, p99, p999 };
      },
    });
  },
};

import { runAwsRound, type AwsWorkload } from "../aws/aws.ts";
import type { Benchmark } from "../bench.ts";
import { compare } from "../compare.ts";

const base: AwsWorkload = {
  messages: 10_000,
  queues: 10,
  bodyBytes: 256,
  publishers: 8,
  receivers: 2,
  consumerProcesses: 1,
};

/** AWS' own clients on both sides, with calls as large as AWS lets them be. */
export const aws: Benchmark = {
  name: "aws",
  help: "AWS' SDK on both sides: one topic to 10 queues, calls of 10, against an emulator in memory",
  run: async (bench) => {
    const { messages, queues, bodyBytes, publishers, receivers, consumerProcesses } = bench.options;
    const workload: AwsWorkload = {
      messages: messages ?? base.messages,
      queues: queues?.[0] ?? base.queues,
      bodyBytes: bodyBytes?.[0] ?? base.bodyBytes,
      publishers: publishers ?? base.publishers,
      receivers: receivers ?? base.receivers,
      consumerProcesses: consumerProcesses ?? base.consumerProcesses,
    };
    return compare(bench, {
      name: "aws",
      title: `AWS' SDK on both sides, 1 topic to ${workload.queues} queues`,
      workload: `${workload.messages.toLocaleString("en-US")} messages a queue, ${workload.bodyBytes}-byte bodies; PublishBatch of 10 with ${workload.publishers} under way, ReceiveMessage of 10 and DeleteMessageBatch with ${workload.receivers} under way a queue`,
      metrics: [
        {
          key: "deliveriesPerSecond",
          label: "deliveries/s",
          unit: "deliveries a second, received and deleted",
          better: "higher",
        },
        {
          key: "clientCpuMicros",
          label: "client µs",
          unit: "CPU microseconds of producer and consumers a delivery",
          better: "lower",
        },
      ],
      systems: ["sluice", "fauxqs"],
      byAws: true,
      variants: [{ variant: workload }],
      round: async ({ running }, variant, round) => {
        const result = await runAwsRound(running.address["url"] ?? "", variant, round);
        return {
          deliveriesPerSecond: result.deliveriesPerSecond,
          clientCpuMicros: (result.clientCpuSeconds * 1e6) / result.deliveries,
        };
      },
    });
  },
};

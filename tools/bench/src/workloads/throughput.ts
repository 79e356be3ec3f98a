import type { Bench, Benchmark } from "../bench.ts";
import { compare } from "../compare.ts";
import type { Load } from "../load/load.ts";
import { runLoad } from "../load/run-load.ts";
import type { Metric, Report } from "../report/report.ts";

/**
 * Bulk fan-out; the other loads differ from it in what their names say.
 *
 * Ten seconds of the fastest system in its best hour: producer and consumers are new processes in each round, and their
 * code is slow until it is compiled. In rounds of three seconds (50,000 messages a queue) Sluice came to 135,505
 * deliveries a second and pgmq to 40,417, in those of twelve to 162,789 and 38,834, in the same hour.
 */
export const bulk: Load = {
  via: "topic",
  messages: 200_000,
  queues: 10,
  body: { kind: "random", bytes: 256 },
  publishBatch: 100,
  publishers: 8,
  receiveBatch: 1_000,
  receivers: 1,
  consumerProcesses: 2,
};

const everySystem = [
  "sluice",
  "jetstream",
  "jetstream-sync",
  "rabbitmq",
  "rabbitmq-quorum",
  "pgmq",
  "pgmq-layout",
  "pg-boss",
  "bullmq",
];

const metrics: Metric[] = [
  {
    key: "deliveriesPerSecond",
    label: "deliveries/s",
    unit: "deliveries a second, received and acknowledged",
    better: "higher",
  },
  {
    key: "publishedPerSecond",
    label: "published/s",
    unit: "messages published a second",
    better: "higher",
  },
  {
    key: "clientCpuMicros",
    label: "client µs",
    unit: "CPU microseconds of producer and consumers a delivery",
    better: "lower",
  },
];

/** What the command line says of a load; lists are for the variants of a workload. */
export function loadOf(base: Load, { options }: Bench): Load {
  const { messages, queues, bodyBytes, publishBatch, publishers, receiveBatch } = options;
  return {
    ...base,
    ...(messages !== undefined && { messages }),
    ...(queues?.[0] !== undefined && { queues: queues[0] }),
    ...(bodyBytes?.[0] !== undefined && { body: { kind: "random", bytes: bodyBytes[0] } }),
    ...(publishBatch !== undefined && { publishBatch }),
    ...(publishers !== undefined && { publishers }),
    ...(receiveBatch !== undefined && { receiveBatch }),
    ...(options.receivers !== undefined && { receivers: options.receivers }),
    ...(options.consumerProcesses !== undefined && {
      consumerProcesses: options.consumerProcesses,
    }),
  };
}

interface Throughput {
  name: string;
  help: string;
  title: string;
  systems?: string[];
  variants: (bench: Bench) => { label?: string; variant: Load }[];
}

/** A benchmark that asks how many deliveries a second get through. */
function throughput({ name, help, title, systems, variants }: Throughput): Benchmark {
  return {
    name,
    help,
    run: async (bench): Promise<Report> => {
      const loads = variants(bench);
      return compare(bench, {
        name,
        title,
        workload: describeLoad(loads[0]?.variant ?? bulk),
        metrics,
        systems: systems ?? everySystem,
        variants: loads,
        round: async (contestant, load, round) => {
          const result = await runLoad({ ...contestant, load, round });
          return {
            deliveriesPerSecond: result.deliveriesPerSecond,
            publishedPerSecond: result.publishedPerSecond,
            clientCpuMicros: (result.clientCpuSeconds * 1e6) / (load.messages * load.queues),
          };
        },
      });
    },
  };
}

export const fanOut = throughput({
  name: "fan-out",
  help: "bulk: one topic to 10 queues, 256-byte bodies",
  title: "Bulk fan-out, 1 topic to 10 queues",
  variants: (bench) => [{ variant: loadOf(bulk, bench) }],
});

export const bodySizes = throughput({
  name: "bodies",
  help: "fan-out of 4 KB and 64 KB bodies",
  title: "Fan-out of large bodies",
  variants: (bench) =>
    (bench.options.bodyBytes ?? [4_096, 65_536]).map((bytes) => {
      const load = loadOf(bulk, bench);
      const messages = bench.options.messages ?? (bytes > 10_000 ? 1_000 : 10_000);
      // A call of this project takes 4 MiB.
      const publishBatch = Math.max(1, Math.min(load.publishBatch, Math.floor(2 ** 21 / bytes)));
      const receiveBatch = Math.max(1, Math.min(load.receiveBatch, Math.floor(2 ** 22 / bytes)));
      return {
        label: bytes % 1_024 === 0 ? `${bytes / 1_024} KB` : `${bytes} B`,
        variant: {
          ...load,
          messages,
          publishBatch,
          receiveBatch,
          body: { kind: "random" as const, bytes },
        },
      };
    }),
});

export const webhooks = throughput({
  name: "webhooks",
  help: "fan-out of real GitHub payloads (1 to 30 KB of JSON)",
  title: "Fan-out of GitHub webhooks",
  variants: (bench) => [
    { variant: { ...loadOf({ ...bulk, messages: 10_000 }, bench), body: { kind: "webhooks" } } },
  ],
});

export const small = throughput({
  name: "small",
  help: "one message a publish, 32 under way, receives of 10: one of them under way on each queue, and four",
  title: "One message a publish, 1 topic to 10 queues",
  systems: ["sluice", "sluice-unbatched", ...everySystem.slice(1)],
  variants: (bench) =>
    (bench.options.receivers === undefined ? [1, 4] : [bench.options.receivers]).map(
      (receivers) => ({
        label: receivers === 1 ? "1 receive" : `${receivers} receives`,
        variant: loadOf(
          {
            ...bulk,
            // For 10,000 the processes of the load, which are new, spend half of their CPU time on what V8 has not
            // compiled yet.
            messages: 100_000,
            publishBatch: 1,
            publishers: 32,
            receiveBatch: 10,
            receivers,
          },
          bench,
        ),
      }),
    ),
});

export const width = throughput({
  name: "width",
  help: "one topic to 1, 10, 100 and 1,000 queues",
  title: "Fan-out to more and more queues",
  variants: (bench) =>
    (bench.options.queues ?? [1, 10, 100, 1_000]).map((queues) => ({
      label: queues === 1 ? "1 queue" : `${queues} queues`,
      variant: {
        ...loadOf(bulk, bench),
        queues,
        // Two million deliveries, however they are spread, so that what a queue costs once is a small part of them;
        // with few queues what one process publishes is the bound.
        messages: bench.options.messages ?? Math.min(200_000, Math.floor(2_000_000 / queues)),
      },
    })),
});

export const direct = throughput({
  name: "direct",
  help: "sent straight to one queue, and to 100",
  title: "Send, receive, acknowledge",
  variants: (bench) =>
    (bench.options.queues ?? [1, 100]).map((queues) => ({
      label: queues === 1 ? "1 queue" : `${queues} queues`,
      variant: {
        ...loadOf(bulk, bench),
        via: "queues" as const,
        queues,
        messages: bench.options.messages ?? Math.floor(100_000 / queues),
      },
    })),
});

/** In words, for those who read the figures. */
export function describeLoad(load: Load): string {
  const { via, messages, queues, body, publishBatch, publishers, receiveBatch } = load;
  const bodies = body.kind === "random" ? `${body.bytes}-byte bodies` : "webhook bodies";
  const destination = via === "topic" ? `a topic with ${queues} queues` : `${queues} queues`;
  return (
    `${messages.toLocaleString("en-US")} messages a queue, ${destination}, ${bodies}, publishes of ${publishBatch} ` +
    `with ${publishers} under way, receives of up to ${receiveBatch}`
  );
}

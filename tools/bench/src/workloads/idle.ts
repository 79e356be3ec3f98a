import { setTimeout as sleep } from "node:timers/promises";

import { connect, createAdmin, queue } from "@sluice/client";
import { createConsumer, type Consumer } from "@sluice/consumer";
import { createProducer } from "@sluice/producer";

import type { Bench, Benchmark } from "../bench.ts";
import type { Row } from "../report/report.ts";
import { figureOf, percentiles } from "../report/statistics.ts";
import { inParts } from "../systems/in-parts.ts";
import { readUsage, servicesOf, type Usage } from "./services.ts";

/** Longer than it takes the first safety polls and garbage collections to pass. */
const settleSeconds = 10;

const mostWakeUps = 200;

interface Way {
  label: string;
  /** All consumers over one connection, so that a hundred of them wait by one call; otherwise each has a connection. */
  isShared: boolean;
}

const ways: Way[] = [
  { label: "a call each", isShared: false },
  { label: "shared calls", isShared: true },
];

/** What waiting costs: thousands of long polls, each on an empty queue of its own; and how soon one of them wakes. */
export const idle: Benchmark = {
  name: "idle",
  help: "5,000 long polls that wait: CPU and memory, and how soon one wakes",
  run: async (bench) => {
    const { longPolls = 5_000, seconds = 30 } = bench.options;
    const rows: Row[] = [];
    const notes = new Set<string>();
    for (const way of ways) {
      const { description, found } = await measure(bench, { ...way, longPolls, seconds });
      rows.push(...found);
      notes.add(`${description}; memory is that of the end, KiB/poll its growth since before`);
    }
    return {
      name: "idle",
      title: `${longPolls.toLocaleString("en-US")} long polls that wait`,
      workload: `each on an empty queue of its own, by a call each or by calls for a hundred queues; watched for ${seconds} s; then ${Math.min(mostWakeUps, longPolls)} messages, one at a time, each to another queue`,
      metrics: [
        { key: "cpu", label: "CPU %", unit: "percent of one core", better: "lower" },
        { key: "memory", label: "MiB", unit: "resident memory", better: "lower" },
        { key: "perPoll", label: "KiB/poll", unit: "memory a long poll", better: "lower" },
        { key: "p50", label: "wake p50 ms", unit: "send to receive", better: "lower" },
        { key: "p99", label: "wake p99 ms", unit: "send to receive", better: "lower" },
      ],
      rows,
      ofParts: true,
      notes: [...notes],
    };
  },
};

async function measure(
  bench: Bench,
  { label, isShared, longPolls, seconds }: Way & { longPolls: number; seconds: number },
): Promise<{ description: string; found: Row[] }> {
  const wakeUps = Math.min(mostWakeUps, longPolls);
  await using running = await bench.start("sluice");
  const url = running.address["url"] ?? "";
  const services = servicesOf(running);
  const read = async () => Promise.all(services.map(async (service) => readUsage(service.url)));

  const before = await read();
  bench.say(`opening ${longPolls} long polls, ${label}`);
  await using waiting = await Waiting.open(url, { longPolls, isShared });
  await sleep(Math.min(settleSeconds, seconds) * 1_000);
  bench.say(`watching for ${seconds} s`);
  const start = await read();
  const started = performance.now();
  await sleep(seconds * 1_000);
  const elapsed = (performance.now() - started) / 1_000;
  const end = await read();
  bench.say(`waking ${wakeUps} of them, one after another`);
  const wakeUp = await waiting.wake(wakeUps);
  const usages = services.map(({ name }, index) =>
    usageRow(`${name}, ${label}`, [before[index], start[index], end[index]], {
      elapsed,
      longPolls,
    }),
  );
  return { description: running.description, found: [...usages, wakeRow(label, wakeUp)] };
}

function usageRow(
  label: string,
  usages: (Usage | undefined)[],
  { elapsed, longPolls }: { elapsed: number; longPolls: number },
): Row {
  const [before, start, end] = usages.map((usage) => usage ?? { cpu: 0, memory: 0, used: 0 }) as [
    Usage,
    Usage,
    Usage,
  ];
  return {
    label,
    figures: {
      cpu: figureOf([((end.cpu - start.cpu) / elapsed) * 100]),
      memory: figureOf([end.memory / 2 ** 20]),
      perPoll: figureOf([(end.memory - before.memory) / 1_024 / longPolls]),
    },
  };
}

function wakeRow(way: string, latencies: Float64Array): Row {
  const [p50 = 0, p99 = 0] = percentiles(latencies, 50, 99);
  return { label: `wake-up, ${way}`, figures: { p50: figureOf([p50]), p99: figureOf([p99]) } };
}

/** Long polls, and the messages that end them. */
class Waiting implements AsyncDisposable {
  readonly #url: string;
  readonly #names: string[];
  readonly #consumers: Consumer<string>[];
  readonly #running: Promise<void>[];
  #arrived: (name: string) => void = () => undefined;

  private constructor(url: string, { names, isShared }: { names: string[]; isShared: boolean }) {
    this.#url = url;
    this.#names = names;
    const shared = connect({ url });
    this.#consumers = names.map((name) =>
      createConsumer(isShared ? shared : connect({ url }), queue(name)),
    );
    this.#running = this.#consumers.map(async (consumer, index) =>
      consumer.runBatches(() => this.#arrived(names[index] ?? "")),
    );
  }

  static async open(
    url: string,
    { longPolls, isShared }: { longPolls: number; isShared: boolean },
  ): Promise<Waiting> {
    const run = Date.now().toString(36);
    const names = Array.from({ length: longPolls }, (_, index) => `idle-${run}-${index}`);
    const admin = createAdmin(connect({ url }));
    await inParts(names, async (name) => admin.queues.create(name));
    return new Waiting(url, { names, isShared });
  }

  /** Milliseconds from each send to the arrival of its message. */
  async wake(times: number): Promise<Float64Array> {
    const producer = createProducer(connect({ url: this.#url }));
    const latencies = new Float64Array(times);
    for (let index = 0; index < times; index += 1) {
      const name = this.#names[(index * 7919) % this.#names.length] ?? "";
      const arrival = new Promise<number>((resolve) => {
        this.#arrived = (arrived) => {
          if (arrived === name) resolve(performance.now());
        };
      });
      const sent = performance.now();
      const [, at] = await Promise.all([producer.send(queue(name), "wake up"), arrival]);
      latencies[index] = at - sent;
    }
    return latencies;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#consumers.map(async (consumer) => consumer.stop()));
    await Promise.all(this.#running);
    const admin = createAdmin(connect({ url: this.#url }));
    await inParts(this.#names, async (name) => admin.queues.delete(name));
  }
}

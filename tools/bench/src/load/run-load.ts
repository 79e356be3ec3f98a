import { openClient } from "../systems/open-client.ts";
import type { RunningSystem } from "../systems/system.ts";
import { nothingDone, type Assignment, type Done } from "./assignment.ts";
import { Crew } from "./crew.ts";
import { deliveriesOf, namesOf, publishedBy, type Load, type Names } from "./load.ts";

/** What one round of a load came to. */
export interface LoadResult {
  /** From the first publish to the last acknowledgement; with `publishFirst` from the first receive on. */
  seconds: number;
  deliveriesPerSecond: number;
  publishedPerSecond: number;
  /** CPU seconds of the processes that publish and consume. */
  clientCpuSeconds: number;
  /** From publish to receive in microseconds, of a paced load. */
  latencies: Float64Array;
}

export interface RoundOptions {
  /** The system by its name, and where it runs. */
  system: string;
  running: RunningSystem;
  load: Load;
  /** Part of the names of topic and queues: no other round may have it. */
  round: string;
  /** Done when everything has been published and nothing received: see `publishFirst`. */
  whenPublished?: (names: Names) => Promise<void>;
}

/**
 * Runs a load through a system, in names of its own: every message received once by every queue, and acknowledged.
 * Fails when one is missing, came twice or is left over.
 */
export async function runLoad(options: RoundOptions): Promise<LoadResult> {
  const { system, running, load, round } = options;
  const names = namesOf(load, round);
  await using client = await openClient(system, running.address, load);
  await client.create(names);
  const result = await measure(options, names);
  for (const queue of names.queues) await untilEmpty(async () => client.left(queue), queue);
  await client.remove(names);
  return result;
}

async function measure(options: RoundOptions, names: Names): Promise<LoadResult> {
  const { system, running, load } = options;
  const assignment = (role: "producer" | "consumer", consumes: string[]): Assignment => ({
    role,
    system,
    address: running.address,
    load,
    names,
    consumes,
  });
  const shares = spread(names.queues, load.consumerProcesses);
  await using crew = new Crew();
  const [producer, ...consumers] = await Promise.all([
    crew.hire(assignment("producer", [])),
    ...shares.map(async (queues) => crew.hire(assignment("consumer", queues))),
  ]);
  if (load.publishFirst !== true) for (const consumer of consumers) consumer.start();
  const started = performance.now();
  const published = producer.run();
  const received = async () => Promise.all(consumers.map(async (one) => one.done()));
  if (load.publishFirst !== true) {
    const [producing, done] = await crew.orFailure(Promise.all([published, received()]));
    return resultOf(load, { producing, done, seconds: (performance.now() - started) / 1_000 });
  }
  const producing = await crew.orFailure(published);
  await options.whenPublished?.(names);
  const receivingFrom = performance.now();
  for (const consumer of consumers) consumer.start();
  const done = await crew.orFailure(received());
  return resultOf(load, { producing, done, seconds: (performance.now() - receivingFrom) / 1_000 });
}

function resultOf(
  load: Load,
  { producing, done, seconds }: { producing: Done; done: Done[]; seconds: number },
): LoadResult {
  const complaints = done.flatMap((one) => one.complaints);
  const count = done.reduce((sum, one) => sum + one.count, 0);
  if (complaints.length > 0) throw new Error(complaints.slice(0, 3).join("; "));
  if (count !== deliveriesOf(load))
    throw new Error(`${count} deliveries instead of ${deliveriesOf(load)}`);
  return {
    seconds,
    deliveriesPerSecond: count / seconds,
    publishedPerSecond: publishedBy(load) / producing.seconds,
    clientCpuSeconds: [producing, ...done].reduce((sum, one) => sum + one.cpuSeconds, 0),
    latencies: merged(done.length === 0 ? [nothingDone] : done),
  };
}

/** An acknowledgement that did not take effect leaves its message in the queue. Some systems count with a delay. */
async function untilEmpty(left: () => Promise<number>, queue: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  let count = await left();
  while (count > 0) {
    if (performance.now() > deadline)
      throw new Error(`${queue}: ${count} messages are left after all were acknowledged`);
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
    count = await left();
  }
}

function merged(done: readonly Done[]): Float64Array {
  return Float64Array.from(done.flatMap(({ latencies }) => [...latencies]));
}

/** Deals the queues out to so many processes, none of which is left without. */
function spread(queues: readonly string[], processes: number): string[][] {
  return Array.from({ length: Math.min(processes, queues.length) }, (_, index) =>
    queues.filter((__, at) => at % processes === index),
  );
}

import type { Address } from "../../load/assignment.ts";
import { stampOf } from "../../load/bodies.ts";
import type { Load, Names } from "../../load/load.ts";
import type { Client, Take } from "../client.ts";
import { inParts } from "../in-parts.ts";
import { loadPeer } from "../peers.ts";

/** What is used of BullMQ. */
interface BullMq {
  Queue: new (name: string, options: object) => Queue;
  Worker: new (
    name: string,
    processor: (job: { data: { body: string } }) => Promise<void>,
    options: object,
  ) => Worker;
}
interface Queue {
  addBulk(jobs: { name: string; data: { body: string }; opts: object }[]): Promise<unknown>;
  getJobCounts(...states: string[]): Promise<Record<string, number>>;
  obliterate(options: object): Promise<void>;
  close(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): void;
}
interface Worker {
  waitUntilReady(): Promise<unknown>;
  close(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): void;
}

/** Most jobs that one worker has under way, whatever the receive batch is. */
const maxConcurrency = 100;

/** It knows no fan-out: a message is added to each queue. */
export class BullMqClient implements Client {
  readonly #library: BullMq;
  readonly #connection: { host: string; port: number; maxRetriesPerRequest: null };
  readonly #queues = new Map<string, Queue>();

  private constructor(library: BullMq, port: number) {
    this.#library = library;
    this.#connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
  }

  static open({ port = "" }: Address): BullMqClient {
    return new BullMqClient(loadPeer("bullmq") as BullMq, Number(port));
  }

  create({ queues }: Names): Promise<void> {
    for (const queue of queues) this.#queue(queue);
    return Promise.resolve();
  }

  async remove({ queues }: Names): Promise<void> {
    await inParts(queues, async (queue) => this.#queue(queue).obliterate({ force: true }));
  }

  async publish({ queues }: Names, bodies: string[]): Promise<void> {
    await Promise.all(queues.map(async (queue) => this.send(queue, bodies)));
  }

  async send(queue: string, bodies: string[]): Promise<void> {
    const opts = { removeOnComplete: true };
    await this.#queue(queue).addBulk(bodies.map((body) => ({ name: "m", data: { body }, opts })));
  }

  async consume(queue: string, load: Load, take: Take): Promise<() => Promise<void>> {
    const worker = new this.#library.Worker(
      queue,
      ({ data }) => {
        take([stampOf(data.body)]);
        return Promise.resolve();
      },
      {
        connection: this.#connection,
        concurrency: Math.min(load.receiveBatch, maxConcurrency) * load.receivers,
        // On a busy machine its 30 s run out, and a job is done twice.
        lockDuration: 300_000,
      },
    );
    worker.on("error", (error) => {
      console.error("bullmq", error);
    });
    await worker.waitUntilReady();
    return async () => worker.close();
  }

  async left(queue: string): Promise<number> {
    const counts = await this.#queue(queue).getJobCounts("waiting", "active", "delayed", "failed");
    return Object.values(counts).reduce((sum, count) => sum + count, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#queues.values()].map(async (queue) => queue.close()));
  }

  #queue(name: string): Queue {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    const queue = new this.#library.Queue(name, { connection: this.#connection });
    queue.on("error", (error) => {
      console.error("bullmq", error);
    });
    this.#queues.set(name, queue);
    return queue;
  }
}

import type { Address } from "../../load/assignment.ts";
import { stampOf } from "../../load/bodies.ts";
import type { Load, Names } from "../../load/load.ts";
import type { Client, Take } from "../client.ts";
import { loadPeer } from "../peers.ts";
import { poll } from "../poll.ts";

/** What is used of pg-boss. */
type PgBossClass = new (options: object) => PgBoss;
interface PgBoss {
  start(): Promise<unknown>;
  stop(options: object): Promise<void>;
  on(event: "error", listener: (error: Error) => void): void;
  createQueue(name: string): Promise<void>;
  deleteQueue(name: string): Promise<void>;
  clearStorage(): Promise<void>;
  insert(jobs: Job[]): Promise<unknown>;
  fetch(name: string, options: object): Promise<(Job & { id: string })[]>;
  complete(name: string, ids: string[]): Promise<void>;
  getQueueSize(name: string, options: object): Promise<number>;
}
interface Job {
  name: string;
  data: { body: string };
}

/** Milliseconds: the shortest that its workers allow. */
const pollInterval = 500;

/** A message is a job in each queue; jobs of one publish are one insert. */
export class PgBossClient implements Client {
  readonly #boss: PgBoss;

  private constructor(boss: PgBoss) {
    this.#boss = boss;
  }

  static async open({ url = "" }: Address): Promise<PgBossClient> {
    const Boss = loadPeer("pg-boss") as PgBossClass;
    const boss = new Boss({ connectionString: url, max: 16, schedule: false });
    boss.on("error", (error) => {
      console.error("pg-boss", error);
    });
    await boss.start();
    return new PgBossClient(boss);
  }

  async create({ queues }: Names): Promise<void> {
    // One after another: each makes a partition, and two at once deadlock.
    for (const queue of queues) await this.#boss.createQueue(queue);
  }

  async remove({ queues }: Names): Promise<void> {
    // A queue with jobs, completed ones included, cannot be deleted.
    await this.#boss.clearStorage();
    for (const queue of queues) await this.#boss.deleteQueue(queue);
  }

  async publish({ queues }: Names, bodies: string[]): Promise<void> {
    await this.#boss.insert(
      queues.flatMap((name) => bodies.map((body) => ({ name, data: { body } }))),
    );
  }

  async send(queue: string, bodies: string[]): Promise<void> {
    await this.#boss.insert(bodies.map((body) => ({ name: queue, data: { body } })));
  }

  consume(queue: string, load: Load, take: Take): Promise<() => Promise<void>> {
    return Promise.resolve(
      poll({ interval: pollInterval, pollers: load.receivers }, async () => {
        const jobs = await this.#boss.fetch(queue, { batchSize: load.receiveBatch });
        if (jobs.length === 0) return false;
        take(jobs.map(({ data }) => stampOf(data.body)));
        await this.#boss.complete(
          queue,
          jobs.map(({ id }) => id),
        );
        return true;
      }),
    );
  }

  async left(queue: string): Promise<number> {
    return this.#boss.getQueueSize(queue, { before: "completed" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#boss.stop({ graceful: false, wait: true });
  }
}

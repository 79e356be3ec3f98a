import { schema, type ControlPlane } from "@sluice/database";
import { and, asc, desc, eq, sql } from "drizzle-orm";
import { alias } from "drizzle-orm/pg-core";
import { v7 as uuidv7 } from "uuid";

import { invalidRequest, SluiceError } from "../errors.ts";
import type { Queue } from "../queues/queue-rows.ts";
import type { Queues } from "../queues/queues.ts";

export interface RedriveTask {
  id: string;
  /** Name of the dead-letter queue; absent when it was deleted since. */
  queue?: string | undefined;
  /** Where everything goes, or went before it was deleted; absent: each message to the queue that it came from. */
  destination?: string | undefined;
  /** Messages a second; absent: as fast as it goes. */
  rate?: number | undefined;
  /** Failed: its destination was deleted before everything had gone there; the rest stays. */
  status: "running" | "completed" | "cancelled" | "failed";
  moved: number;
  /** Messages that were there when it started. */
  total: number;
  createdAt: Date;
  finishedAt?: Date | undefined;
}

export interface NewRedriveTask {
  destination?: Queue | undefined;
  rate?: number | undefined;
}

const { redriveTasks, queues, deletedQueues } = schema;
const destinations = alias(queues, "destinations");

/** Moves of dead letters: start, look at, list, cancel. A dispatcher does the work; see moveDeadLetters. */
export class RedriveTasks {
  readonly #db: ControlPlane;
  readonly #queues: Queues;

  constructor(db: ControlPlane, allQueues: Queues) {
    this.#db = db;
    this.#queues = allQueues;
  }

  /**
   * @throws {SluiceError} `redrive_running` when one is running for this queue already; `invalid_request` when it would
   * move messages to where they are, or to a queue of another kind
   */
  async start(queue: Queue, { destination, rate }: NewRedriveTask): Promise<RedriveTask> {
    if (destination?.id === queue.id)
      refuseDestination("the messages are in this queue already; name another one");
    if (destination && destination.fifo !== queue.fifo) {
      refuseDestination(
        queue.fifo
          ? "the dead letters of a FIFO queue go to a FIFO queue; name one that ends in .fifo"
          : "the dead letters of a standard queue go to a standard queue; name one without .fifo",
      );
    }
    const id = uuidv7();
    const { visible } = await this.#queues.counts(queue);
    const rows = await this.#db
      .insert(redriveTasks)
      .values({
        id,
        account: BigInt(queue.account),
        sourceQueueId: BigInt(queue.id),
        destinationQueueId: destination && BigInt(destination.id),
        rate,
        total: BigInt(visible),
      })
      .onConflictDoNothing()
      .returning({ id: redriveTasks.id });
    if (rows.length === 0) {
      throw new SluiceError(
        "redrive_running",
        `a redrive of "${queue.name}" is running; cancel it or wait for its end`,
      );
    }
    return (await this.find(queue, id)) as RedriveTask;
  }

  async find(queue: Queue, id: string): Promise<RedriveTask | undefined> {
    const [row] = await this.#select().where(and(of(queue), eq(redriveTasks.id, id)));
    return row && taskOf(row);
  }

  /** The newest first. */
  async list(queue: Queue, limit: number): Promise<RedriveTask[]> {
    const rows = await this.#select()
      .where(of(queue))
      .orderBy(desc(redriveTasks.createdAt), asc(redriveTasks.id))
      .limit(limit);
    return rows.map(taskOf);
  }

  /** Ends a running task; what it has moved stays moved. Undefined when it is not running. */
  async cancel(queue: Queue, id: string): Promise<RedriveTask | undefined> {
    const rows = await this.#db
      .update(redriveTasks)
      .set({ status: "cancelled", finishedAt: sql`clock_timestamp()` })
      .where(and(of(queue), eq(redriveTasks.id, id), eq(redriveTasks.status, "running")))
      .returning({ id: redriveTasks.id });
    return rows.length > 0 ? await this.find(queue, id) : undefined;
  }

  #select() {
    return this.#db
      .select({
        task: redriveTasks,
        queue: queues.name,
        destination: sql<string | null>`coalesce(${destinations.name}, ${deletedQueues.name})`,
      })
      .from(redriveTasks)
      .leftJoin(queues, eq(queues.id, redriveTasks.sourceQueueId))
      .leftJoin(destinations, eq(destinations.id, redriveTasks.destinationQueueId))
      .leftJoin(deletedQueues, eq(deletedQueues.queueId, redriveTasks.destinationQueueId))
      .$dynamic();
  }
}

function refuseDestination(message: string): never {
  throw invalidRequest("destination", message);
}

function of(queue: Queue) {
  return and(
    eq(redriveTasks.account, BigInt(queue.account)),
    eq(redriveTasks.sourceQueueId, BigInt(queue.id)),
  );
}

function taskOf(row: {
  task: typeof redriveTasks.$inferSelect;
  queue: string | null;
  destination: string | null;
}): RedriveTask {
  const { id, rate, status, moved, total, createdAt, finishedAt } = row.task;
  return {
    id,
    queue: row.queue ?? undefined,
    destination: row.destination ?? undefined,
    rate: rate ?? undefined,
    status,
    moved: Number(moved),
    total: Number(total),
    createdAt,
    finishedAt: finishedAt ?? undefined,
  };
}

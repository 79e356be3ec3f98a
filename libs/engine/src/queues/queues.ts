import { schema, type ControlPlane } from "@sluice/database";
import { isDeepStrictEqual } from "node:util";

import { and, asc, eq, gt, like, sql } from "drizzle-orm";
import { alias } from "drizzle-orm/pg-core";

import { accountOf } from "../directory/account.ts";
import {
  afterCursor,
  DEFAULT_PAGE,
  likePrefix,
  pageOf,
  type Page,
  type PageRequest,
} from "../directory/pages.ts";
import {
  checkRedrive,
  type RedriveAllowPolicy,
  type RedrivePolicy,
} from "../dead-letter/redrive-policy.ts";
import { queueNotFound, SluiceError } from "../errors.ts";

/** What can be set on a queue; durations in seconds, size in bytes (LIMITS: queues). */
export interface QueueSettings {
  visibilityTimeout: number;
  delay: number;
  retention: number;
  maxMessageSize: number;
  receiveWait: number;
  /** Null: messages are received until they are acknowledged or expire. */
  redrive: RedrivePolicy | null;
  redriveAllow: RedriveAllowPolicy;
  /** Whether receives get nothing; sends and fan-out go on. */
  paused: boolean;
  tags: Record<string, string>;
  /** What AWS' protocols set and show although it has no meaning here; not what makes two queues differ. */
  awsAttributes?: Record<string, string>;
}

export interface Queue extends QueueSettings {
  id: string;
  account: string;
  name: string;
  awsAttributes: Record<string, string>;
  createdAt: Date;
}

export const queueDefaults: QueueSettings = {
  visibilityTimeout: 30,
  delay: 0,
  retention: 345_600,
  maxMessageSize: 1_048_576,
  receiveWait: 0,
  redrive: null,
  redriveAllow: { permission: "allowAll" },
  paused: false,
  tags: {},
};

const { queues, deletedQueues } = schema;
const deadLetterQueues = alias(queues, "dead_letter_queues");

/** Queues in Postgres: create, look up, list, change, delete. */
export class Queues {
  readonly #db: ControlPlane;

  constructor(db: ControlPlane) {
    this.#db = db;
  }

  /** Creates a queue, or finds the one that is there with the same settings. @throws {SluiceError} `queue_exists` */
  async create(
    account: string,
    name: string,
    some: Partial<QueueSettings>,
  ): Promise<{ queue: Queue; created: boolean }> {
    const settings = { ...queueDefaults, ...withoutUndefined(some) };
    const columns = await this.#columnsOf(account, name, settings);
    const rows = await this.#db
      .insert(queues)
      .values({ ...columns, account: BigInt(account), name })
      .onConflictDoNothing()
      .returning({ id: queues.id });
    const existing = await this.find(account, name);
    // Deleted between the two statements: it is free again.
    if (!existing) return await this.create(account, name, some);
    if (rows.length > 0) return { queue: existing, created: true };
    const differing = differences(existing, settings);
    if (differing.length > 0) {
      throw new SluiceError(
        "queue_exists",
        `queue "${name}" exists with another ${differing.join(", ")}; change it with PATCH /v1/queues/${name}`,
      );
    }
    return { queue: existing, created: false };
  }

  async find(account: string, name: string): Promise<Queue | undefined> {
    const [row] = await this.#select().where(named(account, name));
    return row && queueOf(row);
  }

  /** The name of the queue of an id, undefined when it was deleted. */
  async nameOf(account: string, id: string): Promise<string | undefined> {
    const [row] = await this.#db
      .select({ name: queues.name })
      .from(queues)
      .where(and(eq(queues.account, BigInt(account)), eq(queues.id, BigInt(id))));
    return row?.name;
  }

  /** By name, in order of names. */
  async list(
    account: string,
    { prefix, cursor, limit = DEFAULT_PAGE }: PageRequest,
  ): Promise<Page<Queue>> {
    const after = afterCursor(cursor);
    const rows = await this.#select()
      .where(
        and(
          eq(queues.account, BigInt(account)),
          after === undefined ? undefined : gt(queues.name, after),
          prefix === undefined ? undefined : like(queues.name, likePrefix(prefix)),
        ),
      )
      .orderBy(asc(queues.name))
      .limit(limit + 1);
    return pageOf(rows.map(queueOf), limit, (queue) => queue.name);
  }

  /** @throws {SluiceError} `queue_not_found` */
  async update(account: string, name: string, change: Partial<QueueSettings>): Promise<Queue> {
    await this.#db
      .update(queues)
      .set(await this.#columnsOf(account, name, withoutUndefined(change)))
      .where(named(account, name));
    const queue = await this.find(account, name);
    if (!queue) throw queueNotFound(name);
    return queue;
  }

  /** Names of the queues whose dead letters come to this one. */
  async deadLetterSources(queue: Queue): Promise<string[]> {
    const rows = await this.#db
      .select({ name: queues.name })
      .from(queues)
      .where(eq(queues.deadLetterQueueId, BigInt(queue.id)))
      .orderBy(asc(queues.name));
    return rows.map((row) => row.name);
  }

  /**
   * Deletes a queue with its subscriptions. Its messages are out of reach at once; the clean-up removes them.
   * @throws {SluiceError} `queue_not_found`
   */
  async delete(account: string, name: string): Promise<void> {
    await this.#db.transaction(async (tx) => {
      const [row] = await tx
        .delete(queues)
        .where(named(account, name))
        .returning({ id: queues.id, account: queues.account });
      if (!row) throw queueNotFound(name);
      await tx
        .update(queues)
        .set({ deadLetterQueueId: null, maxReceiveCount: null })
        .where(eq(queues.deadLetterQueueId, row.id));
      await tx.insert(deletedQueues).values({ queueId: row.id, account: row.account });
    });
  }

  #select() {
    return this.#db
      .select({ queue: queues, deadLetterQueue: deadLetterQueues.name })
      .from(queues)
      .leftJoin(deadLetterQueues, eq(deadLetterQueues.id, queues.deadLetterQueueId))
      .$dynamic();
  }

  /** Settings as columns: the policy's queue by its id, once it is known to be allowed. */
  async #columnsOf<Settings extends Partial<QueueSettings>>(
    account: string,
    name: string,
    { redrive, ...columns }: Settings,
  ) {
    if (redrive === undefined) return columns;
    if (redrive === null) return { ...columns, deadLetterQueueId: null, maxReceiveCount: null };
    const deadLetterQueue = await this.find(account, redrive.deadLetterQueue);
    checkRedrive(name, redrive, deadLetterQueue);
    return {
      ...columns,
      deadLetterQueueId: deadLetterQueue && BigInt(deadLetterQueue.id),
      maxReceiveCount: redrive.maxReceiveCount,
    };
  }

  /** How many messages rest in the queue. Reads the whole queue's slices: proportional to its backlog. */
  async counts(queue: Queue): Promise<QueueCounts> {
    const rows = await this.#db.execute<Record<keyof QueueCounts, number | null>>(sql`
      SELECT coalesce(sum(bit_count(pending::bit(64))) FILTER (WHERE visible_at <= now), 0)::float8 AS "visible",
             coalesce(sum(bit_count(pending::bit(64))) FILTER (WHERE visible_at > now AND receive_count > 0), 0)::float8 AS "inFlight",
             coalesce(sum(bit_count(pending::bit(64))) FILTER (WHERE visible_at > now AND receive_count = 0), 0)::float8 AS "delayed",
             floor(extract(epoch FROM max(now) - min(sent_at)))::float8 AS "oldestMessageAge"
      FROM slices, (SELECT clock_timestamp() AS now) clock
      WHERE queue_id = ${queue.id}::bigint AND account = ${queue.account}::bigint
        AND sent_at > now - make_interval(secs => ${queue.retention}::int)`);
    const row = rows[0];
    return {
      visible: row?.visible ?? 0,
      inFlight: row?.inFlight ?? 0,
      delayed: row?.delayed ?? 0,
      oldestMessageAge: row?.oldestMessageAge ?? null,
    };
  }
}

export interface QueueCounts {
  visible: number;
  inFlight: number;
  delayed: number;
  /** Seconds since the oldest message was sent; null when the queue is empty. */
  oldestMessageAge: number | null;
}

function named(account: string, name: string) {
  return and(eq(queues.account, BigInt(account)), eq(queues.name, name));
}

function queueOf({ queue: row, deadLetterQueue }: SelectedQueue): Queue {
  const { deadLetterQueueId: _id, maxReceiveCount, ...columns } = row;
  return {
    ...columns,
    id: String(row.id),
    account: accountOf(row.account),
    redrive:
      deadLetterQueue === null || maxReceiveCount === null
        ? null
        : { deadLetterQueue, maxReceiveCount },
  };
}

interface SelectedQueue {
  queue: typeof queues.$inferSelect;
  deadLetterQueue: string | null;
}

function differences(existing: Queue, wanted: QueueSettings): string[] {
  const names = Object.keys(queueDefaults) as (keyof QueueSettings)[];
  return names.filter((name) => !isDeepStrictEqual(existing[name], wanted[name]));
}

function withoutUndefined<T extends object>(object: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== undefined),
  ) as Partial<T>;
}

import { schema, type ControlPlane } from "@sluice/database";
import { and, asc, eq, gt, like, sql } from "drizzle-orm";

import { accountOf } from "../directory/account.ts";
import {
  afterCursor,
  DEFAULT_PAGE,
  likePrefix,
  pageOf,
  type Page,
  type PageRequest,
} from "../directory/pages.ts";
import { sameTags } from "../directory/tags.ts";
import { queueNotFound, SluiceError } from "../errors.ts";

/** What can be set on a queue; durations in seconds, size in bytes (LIMITS: queues). */
export interface QueueSettings {
  visibilityTimeout: number;
  delay: number;
  retention: number;
  maxMessageSize: number;
  receiveWait: number;
  tags: Record<string, string>;
}

export interface Queue extends QueueSettings {
  id: string;
  account: string;
  name: string;
  createdAt: Date;
}

export const queueDefaults: QueueSettings = {
  visibilityTimeout: 30,
  delay: 0,
  retention: 345_600,
  maxMessageSize: 1_048_576,
  receiveWait: 0,
  tags: {},
};

const { queues, deletedQueues } = schema;

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
    const [row] = await this.#db
      .insert(queues)
      .values({ ...settings, account: BigInt(account), name })
      .onConflictDoNothing()
      .returning();
    if (row) return { queue: queueOf(row), created: true };
    const existing = await this.find(account, name);
    // Deleted between the two statements: it is free again.
    if (!existing) return await this.create(account, name, some);
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
    const [row] = await this.#db.select().from(queues).where(named(account, name));
    return row && queueOf(row);
  }

  /** By name, in order of names. */
  async list(
    account: string,
    { prefix, cursor, limit = DEFAULT_PAGE }: PageRequest,
  ): Promise<Page<Queue>> {
    const after = afterCursor(cursor);
    const rows = await this.#db
      .select()
      .from(queues)
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
    const [row] = await this.#db
      .update(queues)
      .set(withoutUndefined(change))
      .where(named(account, name))
      .returning();
    if (!row) throw queueNotFound(name);
    return queueOf(row);
  }

  /**
   * Deletes a queue with its subscriptions. Its messages are out of reach at once; the clean-up removes them.
   * @throws {SluiceError} `queue_not_found`
   */
  async delete(account: string, name: string): Promise<Queue> {
    return await this.#db.transaction(async (tx) => {
      const [row] = await tx.delete(queues).where(named(account, name)).returning();
      if (!row) throw queueNotFound(name);
      await tx.insert(deletedQueues).values({ queueId: row.id, account: row.account });
      return queueOf(row);
    });
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

function queueOf(row: typeof queues.$inferSelect): Queue {
  return { ...row, id: String(row.id), account: accountOf(row.account) };
}

function differences(existing: Queue, wanted: QueueSettings): string[] {
  const { tags, ...settings } = wanted;
  const names = Object.keys(settings) as (keyof typeof settings)[];
  const differing: string[] = names.filter((name) => existing[name] !== wanted[name]);
  return sameTags(existing.tags, tags) ? differing : [...differing, "tags"];
}

function withoutUndefined<T extends object>(object: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== undefined),
  ) as Partial<T>;
}

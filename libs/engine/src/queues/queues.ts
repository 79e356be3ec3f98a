import { schema, texts, type ControlPlane, type Sql } from "@sluice/database";
import { and, asc, eq, getTableColumns, gt, inArray, like, or, sql } from "drizzle-orm";
import { alias } from "drizzle-orm/pg-core";

import { accountOf } from "../directory/account.ts";
import { differingSettings } from "../directory/differing-settings.ts";
import {
  afterCursor,
  DEFAULT_PAGE,
  fitsPage,
  fittingLimit,
  ifFits,
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
import type { QueueCounts, QueueTotals } from "../ledger/count-messages.ts";
import { SharedCounts } from "../ledger/shared-counts.ts";
import { checkFifoSettings } from "./check-fifo-settings.ts";
import { outliveQueue, takeOverSubscriptions } from "../subscriptions/deleted-queues.ts";

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
  /**
   * Whether messages of a group come in order, and duplicates not at all; its name ends in `.fifo` then. Cannot be
   * changed.
   */
  fifo: boolean;
  /** Of a FIFO queue: whether a message without a deduplication id gets the SHA-256 of its body. */
  contentBasedDeduplication: boolean;
  /** Of a FIFO queue: within what a deduplication id counts. */
  deduplicationScope: "queue" | "messageGroup";
  /** Of a FIFO queue; `perMessageGroupId` needs the scope `messageGroup`. Groups never share a limit here. */
  fifoThroughputLimit: "perQueue" | "perMessageGroupId";
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

/** As lists show it. */
export type ListedQueue = Omit<Queue, "awsAttributes">;

export const queueDefaults: QueueSettings = {
  visibilityTimeout: 30,
  delay: 0,
  retention: 345_600,
  maxMessageSize: 1_048_576,
  receiveWait: 0,
  redrive: null,
  redriveAllow: { permission: "allowAll" },
  fifo: false,
  contentBasedDeduplication: false,
  deduplicationScope: "queue",
  fifoThroughputLimit: "perQueue",
  paused: false,
  tags: {},
};

/** Of the settings that make two queues differ. */
const settingNames = Object.keys(queueDefaults) as Exclude<keyof QueueSettings, "awsAttributes">[];

const { queues, deletedQueues } = schema;
const { awsAttributes: _awsAttributes, ...listedColumns } = getTableColumns(queues);
const deadLetterQueues = alias(queues, "dead_letter_queues");

/** Queues in Postgres: create, look up, list, change, delete. */
export class Queues {
  readonly #db: ControlPlane;
  readonly #counts: SharedCounts;
  readonly #nameGuard: number;
  readonly #lookUp: ReturnType<typeof lookUp>;
  readonly #lookUpAll: ReturnType<typeof lookUpAll>;

  /**
   * @param database - `hot`: connections with the plans of the hot path, to count on.
   * @param nameGuard - Seconds for which the name of a deleted queue cannot be used again.
   */
  constructor({ control, hot }: { control: ControlPlane; hot: Sql }, nameGuard: number) {
    this.#db = control;
    this.#counts = new SharedCounts(hot);
    this.#nameGuard = nameGuard;
    this.#lookUp = lookUp(control);
    this.#lookUpAll = lookUpAll(control);
  }

  /**
   * Creates a queue, or finds the one that is there with the same settings.
   * @throws {SluiceError} `queue_exists`, `queue_deleted_recently`
   */
  async create(
    account: string,
    name: string,
    some: Partial<QueueSettings>,
  ): Promise<{ queue: Queue; created: boolean }> {
    const settings = { ...queueDefaults, ...withoutUndefined(some) };
    checkFifoSettings(name, settings);
    const columns = await columnsOf(this.#db, { account, name, fifo: settings.fifo }, settings);
    if (
      (await this.deletedWithin(account, name, this.#nameGuard)) &&
      !(await this.find(account, name))
    ) {
      throw new SluiceError(
        "queue_deleted_recently",
        `queue "${name}" was deleted less than ${this.#nameGuard} seconds ago; wait, or take another name`,
      );
    }
    const rows = await this.#db.transaction(async (tx) => {
      const inserted = await tx
        .insert(queues)
        .values({ ...columns, account: BigInt(account), name })
        .onConflictDoNothing()
        .returning({ id: queues.id });
      for (const { id } of inserted) await takeOverSubscriptions(tx, { id, account, name });
      return inserted;
    });
    const existing = await this.find(account, name);
    // Deleted between the two statements: it is free again.
    if (!existing) return await this.create(account, name, some);
    if (rows.length > 0) return { queue: existing, created: true };
    const details = differingSettings(settingNames, { existing, wanted: settings, given: some });
    if (details.length > 0) {
      const differing = details.map(({ path }) => path).join(", ");
      throw new SluiceError(
        "queue_exists",
        `queue "${name}" exists with another ${differing}; change it with PATCH /v1/queues/${name}`,
        { details },
      );
    }
    return { queue: existing, created: false };
  }

  async find(account: string, name: string): Promise<Queue | undefined> {
    const [row] = await this.#lookUp.execute({ account, name });
    return row && queueOf(row);
  }

  /** @throws {SluiceError} `queue_not_found` */
  async get(account: string, name: string): Promise<Queue> {
    const queue = await this.find(account, name);
    if (!queue) throw queueNotFound(name);
    return queue;
  }

  /** Those of these names that exist, by name. */
  async findAll(account: string, names: readonly string[]): Promise<Map<string, Queue>> {
    const rows = await this.#lookUpAll.execute({ account, names: texts(names) });
    return new Map(rows.map((row) => [row.queue.name, queueOf(row)]));
  }

  /** The name of the queue of an id, undefined when it was deleted. */
  async nameOf(account: string, id: string): Promise<string | undefined> {
    const [row] = await this.#db
      .select({ name: queues.name })
      .from(queues)
      .where(and(eq(queues.account, BigInt(account)), eq(queues.id, BigInt(id))));
    return row?.name;
  }

  /** By name, in order of names. With large tags a page has fewer than it might have. */
  async list(account: string, request: PageRequest): Promise<Page<ListedQueue>> {
    const { limit = DEFAULT_PAGE } = request;
    const fits = fitsPage(sql`octet_length(${queues.tags}::text)`, queues.name);
    const queue = { ...listedColumns, tags: ifFits(fits, queues.tags) };
    const rows = await this.#db
      .select({ queue, deadLetterQueue: deadLetterQueues.name, fits })
      .from(queues)
      .leftJoin(deadLetterQueues, eq(deadLetterQueues.id, queues.deadLetterQueueId))
      .where(listed(account, request))
      .orderBy(asc(queues.name))
      .limit(limit + 1);
    return pageOf(rows.map(listedQueueOf), fittingLimit(rows, limit), ({ name }) => name);
  }

  /** The same, their names alone. */
  async names(account: string, request: PageRequest): Promise<Page<string>> {
    const { limit = DEFAULT_PAGE } = request;
    const rows = await this.#db
      .select({ name: queues.name })
      .from(queues)
      .where(listed(account, request))
      .orderBy(asc(queues.name))
      .limit(limit + 1);
    const names = rows.map(({ name }) => name);
    return pageOf(names, limit, (name) => name);
  }

  /**
   * Changes what is named and leaves the rest; of two calls at once both count.
   * @param change - or what it is for the queue as it is, which nobody else changes meanwhile
   * @throws {SluiceError} `queue_not_found`; `invalid_request` for what does not fit the kind of the queue
   */
  async update(
    account: string,
    name: string,
    change: Partial<QueueSettings> | ((before: Queue) => Partial<QueueSettings>),
  ): Promise<Queue> {
    return await this.#db.transaction(async (tx) => {
      // By itself: a join that waited for the lock would still be with the dead-letter queue of before.
      await tx
        .select({ id: queues.id })
        .from(queues)
        .where(named(account, name))
        .for("no key update");
      const before = await find(tx, account, name);
      if (!before) throw queueNotFound(name);
      const settings = withoutUndefined(typeof change === "function" ? change(before) : change);
      checkFifoSettings(name, { ...before, ...settings });
      if (Object.keys(settings).length === 0) return before;
      const columns = await columnsOf(tx, before, settings);
      await tx.update(queues).set(columns).where(named(account, name));
      return { ...before, ...settings };
    });
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
   * Deletes a queue with its subscriptions, but for those that have a dead-letter queue. Its messages are out of reach
   * at once; the clean-up removes them.
   * @throws {SluiceError} `queue_not_found`
   */
  async delete(account: string, name: string): Promise<void> {
    await this.#db.transaction(async (tx) => {
      // With those whose dead letters come to it, in one order for everybody: each of two that are deleted at once may
      // be the other's.
      await tx
        .select({ id: queues.id })
        .from(queues)
        .where(or(named(account, name), inArray(queues.deadLetterQueueId, idOf(tx, account, name))))
        .orderBy(asc(queues.id))
        .for("no key update");
      const [row] = await tx
        .select({ id: queues.id, account: queues.account, name: queues.name })
        .from(queues)
        .where(named(account, name))
        .for("update");
      if (!row) throw queueNotFound(name);
      await outliveQueue(tx, row);
      await tx.delete(queues).where(eq(queues.id, row.id));
      await tx
        .update(queues)
        .set({ deadLetterQueueId: null, maxReceiveCount: null })
        .where(eq(queues.deadLetterQueueId, row.id));
      await tx
        .insert(deletedQueues)
        .values({ queueId: row.id, account: row.account, name: row.name });
    });
  }

  /** Whether a queue of that name was deleted in the last so many seconds (up to 3,600). */
  async deletedWithin(account: string, name: string, seconds: number): Promise<boolean> {
    if (seconds === 0) return false;
    const rows = await this.#db
      .select({ id: deletedQueues.queueId })
      .from(deletedQueues)
      .where(
        and(
          eq(deletedQueues.account, BigInt(account)),
          eq(deletedQueues.name, name),
          gt(deletedQueues.deletedAt, sql`clock_timestamp() - make_interval(secs => ${seconds})`),
        ),
      )
      .limit(1);
    return rows.length > 0;
  }

  /** How many messages the queue holds, and how many came and went, at the call or later; see {@link SharedCounts}. */
  async counts(queue: Queue): Promise<QueueCounts & { totals: QueueTotals }> {
    return await this.#counts.count(queue);
  }
}

type Reader = Pick<ControlPlane, "select">;

function select(db: Reader) {
  return db
    .select({ queue: queues, deadLetterQueue: deadLetterQueues.name })
    .from(queues)
    .leftJoin(deadLetterQueues, eq(deadLetterQueues.id, queues.deadLetterQueueId))
    .$dynamic();
}

/**
 * The look-up that a process makes of each queue it is asked for, and once a minute where none of its calls comes in
 * time for {@link lookUpAll}: its SQL is put together once. With 5,000 long polls, each on a queue of its own, doing
 * that each time was a tenth of what they cost.
 */
function lookUp(db: Reader) {
  return select(db)
    .where(
      and(eq(queues.account, sql.placeholder("account")), eq(queues.name, sql.placeholder("name"))),
    )
    .prepare("look_up_queue");
}

function lookUpAll(db: Reader) {
  return select(db)
    .where(
      and(
        eq(queues.account, sql.placeholder("account")),
        sql`${queues.name} = ANY(${sql.placeholder("names")}::text[])`,
      ),
    )
    .prepare("look_up_queues");
}

async function find(db: Reader, account: string, name: string): Promise<Queue | undefined> {
  const [row] = await select(db).where(named(account, name));
  return row && queueOf(row);
}

/** Settings as columns: the policy's queue by its id, once it is known to be allowed. */
async function columnsOf<Settings extends Partial<QueueSettings>>(
  db: Reader,
  { account, ...queue }: { account: string; name: string; fifo: boolean },
  { redrive, ...columns }: Settings,
) {
  if (redrive === undefined) return columns;
  if (redrive === null) return { ...columns, deadLetterQueueId: null, maxReceiveCount: null };
  const deadLetterQueue = await find(db, account, redrive.deadLetterQueue);
  checkRedrive(queue, redrive, deadLetterQueue);
  return {
    ...columns,
    deadLetterQueueId: deadLetterQueue && BigInt(deadLetterQueue.id),
    maxReceiveCount: redrive.maxReceiveCount,
  };
}

function idOf(db: Reader, account: string, name: string) {
  return db.select({ id: queues.id }).from(queues).where(named(account, name));
}

/** @throws {SluiceError} `invalid_request` for a cursor that is none */
function listed(account: string, { prefix, cursor }: PageRequest) {
  const after = afterCursor(cursor);
  return and(
    eq(queues.account, BigInt(account)),
    after === undefined ? undefined : gt(queues.name, after),
    prefix === undefined ? undefined : like(queues.name, likePrefix(prefix)),
  );
}

function named(account: string, name: string) {
  return and(eq(queues.account, BigInt(account)), eq(queues.name, name));
}

function queueOf({ queue, deadLetterQueue }: SelectedQueue): Queue {
  const { awsAttributes } = queue;
  return { ...listedQueueOf({ queue, deadLetterQueue }), awsAttributes };
}

function listedQueueOf({ queue: row, deadLetterQueue }: ListedRow): ListedQueue {
  const {
    deadLetterQueueId: _id,
    maxReceiveCount,
    purgedAt: _purgedAt,
    hasTenants: _hasTenants,
    ...columns
  } = row;
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

interface ListedRow {
  queue: Omit<SelectedQueue["queue"], "awsAttributes">;
  deadLetterQueue: string | null;
}

function withoutUndefined<T extends object>(object: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== undefined),
  ) as Partial<T>;
}

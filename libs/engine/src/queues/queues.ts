import { schema, type ControlPlane, type Sql } from "@sluice/database";
import { and, asc, eq, gt, inArray, or, sql } from "drizzle-orm";

import { differingSettings } from "../directory/differing-settings.ts";
import {
  DEFAULT_PAGE,
  fittingLimit,
  inTurn,
  pageOf,
  type Page,
  type PageRequest,
} from "../directory/pages.ts";
import { isListed, isNamed, pageOfNames } from "../directory/named-tables.ts";
import { SharedLookUps } from "../directory/shared-look-ups.ts";
import { withoutUndefined } from "../directory/without-undefined.ts";
import { checkRedrive } from "../dead-letter/redrive-policy.ts";
import { queueNotFound, SluiceError } from "../errors.ts";
import type { QueueCounts, QueueTotals } from "../ledger/count-messages.ts";
import { SharedCounts } from "../ledger/shared-counts.ts";
import { outliveQueue, takeOverSubscriptions } from "../subscriptions/deleted-queues.ts";
import {
  findQueue,
  listedQueueOf,
  lookUp,
  queueOf,
  selectListed,
  type ListedQueue,
  type Queue,
  type Reader,
} from "./queue-rows.ts";
import { checkQueueSettings, queueDefaults, type QueueSettings } from "./queue-settings.ts";

/** Of the settings that make two queues differ. */
const settingNames = Object.keys(queueDefaults) as Exclude<keyof QueueSettings, "awsAttributes">[];

const { queues, deletedQueues } = schema;

/** Queues in Postgres: create, look up, list, change, delete. */
export class Queues {
  readonly #db: ControlPlane;
  readonly #counts: SharedCounts;
  readonly #nameGuard: number;
  readonly #lookUps: SharedLookUps<Queue>;

  /**
   * @param database - `hot`: connections with the plans of the hot path, to count on.
   * @param nameGuard - Seconds for which the name of a deleted queue cannot be used again.
   */
  constructor(
    { control, lookUps, hot }: { control: ControlPlane; lookUps: ControlPlane; hot: Sql },
    nameGuard: number,
  ) {
    this.#db = control;
    this.#counts = new SharedCounts(hot);
    this.#nameGuard = nameGuard;
    const prepared = lookUp(lookUps);
    this.#lookUps = new SharedLookUps(async (those) =>
      (await prepared.execute(those)).map(queueOf),
    );
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
    checkQueueSettings(name, settings);
    const columns = await columnsOf(this.#db, { account, name, fifo: settings.fifo }, settings);
    if (
      (await wasDeletedWithin(this.#db, { account, name }, this.#nameGuard)) &&
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

  /** As it is at the call or later. */
  find(account: string, name: string): Promise<Queue | undefined> {
    return this.#lookUps.find(account, name);
  }

  /** @throws {SluiceError} `queue_not_found` */
  async get(account: string, name: string): Promise<Queue> {
    const queue = await this.find(account, name);
    if (!queue) throw queueNotFound(name);
    return queue;
  }

  /** Those of these names that exist, by name. */
  async findAll(account: string, names: readonly string[]): Promise<Map<string, Queue>> {
    const found = await Promise.all(names.map((name) => this.find(account, name)));
    return new Map(found.flatMap((queue) => (queue ? [[queue.name, queue]] : [])));
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
    const rows = await inTurn(account, async () =>
      selectListed(this.#db)
        .where(isListed(queues, account, request))
        .orderBy(asc(queues.name))
        .limit(limit + 1),
    );
    return pageOf(rows.map(listedQueueOf), fittingLimit(rows, limit), ({ name }) => name);
  }

  /** The same, their names alone. */
  async names(account: string, request: PageRequest): Promise<Page<string>> {
    return await pageOfNames(this.#db, queues, account, request);
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
        .where(isNamed(queues, account, name))
        .for("no key update");
      const before = await findQueue(tx, account, name);
      if (!before) throw queueNotFound(name);
      const settings = withoutUndefined(typeof change === "function" ? change(before) : change);
      checkQueueSettings(name, { ...before, ...settings });
      if (Object.keys(settings).length === 0) return before;
      const columns = await columnsOf(tx, before, settings);
      await tx
        .update(queues)
        .set(columns)
        .where(isNamed(queues, account, name));
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
        .where(
          or(
            isNamed(queues, account, name),
            inArray(queues.deadLetterQueueId, idOf(tx, account, name)),
          ),
        )
        .orderBy(asc(queues.id))
        .for("no key update");
      const [row] = await tx
        .select({ id: queues.id, account: queues.account, name: queues.name })
        .from(queues)
        .where(isNamed(queues, account, name))
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

  /** How many messages the queue holds, and how many came and went, at the call or later; see {@link SharedCounts}. */
  async counts(queue: Queue): Promise<QueueCounts & { totals: QueueTotals }> {
    return await this.#counts.count(queue);
  }
}

/** Whether a queue of that name was deleted in the last so many seconds (up to 3,600). */
async function wasDeletedWithin(
  db: Reader,
  { account, name }: { account: string; name: string },
  seconds: number,
): Promise<boolean> {
  if (seconds === 0) return false;
  const rows = await db
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

/** Settings as columns: the policy's queue by its id, once it is known to be allowed. */
async function columnsOf<Settings extends Partial<QueueSettings>>(
  db: Reader,
  { account, ...queue }: { account: string; name: string; fifo: boolean },
  { redrive, ...columns }: Settings,
) {
  if (redrive === undefined) return columns;
  if (redrive === null) return { ...columns, deadLetterQueueId: null, maxReceiveCount: null };
  const deadLetterQueue = await findQueue(db, account, redrive.deadLetterQueue);
  checkRedrive(queue, redrive, deadLetterQueue);
  return {
    ...columns,
    deadLetterQueueId: deadLetterQueue && BigInt(deadLetterQueue.id),
    maxReceiveCount: redrive.maxReceiveCount,
  };
}

function idOf(db: Reader, account: string, name: string) {
  return db
    .select({ id: queues.id })
    .from(queues)
    .where(isNamed(queues, account, name));
}

import { classifyFailure, schema, type ControlPlane } from "@sluice/database";
import { and, asc, eq, gt, sql } from "drizzle-orm";
import { v7 as uuidv7 } from "uuid";

import { differingSettings } from "../directory/differing-settings.ts";
import {
  afterCursor,
  DEFAULT_PAGE,
  fittingLimit,
  inTurn,
  pageOf,
  type Page,
  type PageRequest,
  UUID,
} from "../directory/pages.ts";
import { invalidRequest, SluiceError, subscriptionNotFound } from "../errors.ts";
import { filterIdOf } from "./filter-policies.ts";
import {
  linkOf,
  select,
  selectLinks,
  selectListed,
  subscriptionOf,
  type Link,
  type Reader,
  type Subscription,
} from "./subscription-rows.ts";
import {
  checkDeadLetterQueue,
  checkKinds,
  mergedSettings,
  subscriptionDefaults,
  type SubscriptionSettings,
} from "./subscription-settings.ts";

const settingNames = Object.keys(subscriptionDefaults) as (keyof SubscriptionSettings)[];

const { subscriptions, queues } = schema;

/** Which queues a topic fans out to. A change counts for every publish that begins after it was answered. */
export class Subscriptions {
  readonly #db: ControlPlane;

  constructor(db: ControlPlane) {
    this.#db = db;
  }

  /**
   * Subscribes a queue to a topic, or finds the subscription that is there with the same settings.
   * @param alongWith - done in the same transaction when it is a new one
   * @throws {SluiceError} `subscription_exists`, `invalid_filter_policy`, `invalid_request`
   */
  async create(
    account: string,
    { topic, queue }: { topic: Named; queue: Named },
    some: Partial<SubscriptionSettings> = {},
    alongWith?: AlongWith,
  ): Promise<{ subscription: Subscription; created: boolean }> {
    checkKinds(topic.name, queue.name);
    const settings = mergedSettings(subscriptionDefaults, some);
    const columns = await columnsOf(this.#db, { account, queue: queue.name }, settings);
    const [row] = await this.#db.transaction(async (tx) => {
      const inserted = await tx
        .insert(subscriptions)
        .values({
          ...columns,
          id: uuidv7(),
          account: BigInt(account),
          topicId: BigInt(topic.id),
          queueId: BigInt(queue.id),
        })
        .onConflictDoNothing()
        .returning({ id: subscriptions.id });
      if (inserted[0]) await alongWith?.(tx, inserted[0].id);
      return inserted;
    });
    const [existing] = await select(this.#db).where(
      and(
        eq(subscriptions.account, BigInt(account)),
        eq(subscriptions.topicId, BigInt(topic.id)),
        eq(subscriptions.queueId, BigInt(queue.id)),
      ),
    );
    // Ended between the two statements: subscribe anew.
    if (!existing) return await this.create(account, { topic, queue }, some, alongWith);
    const subscription = subscriptionOf(existing);
    if (row) return { subscription, created: true };
    const details = differingSettings(settingNames, {
      existing: subscription,
      wanted: settings,
      given: some,
    });
    if (details.length > 0) {
      const differing = details.map(({ path }) => path).join(", ");
      throw new SluiceError(
        "subscription_exists",
        `the queue is subscribed with another ${differing}; change it with PATCH /v1/subscriptions/${subscription.id}`,
        { details },
      );
    }
    return { subscription, created: false };
  }

  async find(account: string, id: string): Promise<Subscription | undefined> {
    const [row] = await select(this.#db).where(identified(account, id));
    return row && subscriptionOf(row);
  }

  /** That of a queue to a topic, also while the queue is deleted. */
  async findOf(account: string, topicId: string, queue: string): Promise<Subscription | undefined> {
    const [row] = await select(this.#db).where(
      and(
        of(account, topicId),
        eq(sql`coalesce(${queues.name}, ${subscriptions.deletedQueue})`, queue),
      ),
    );
    return row && subscriptionOf(row);
  }

  /**
   * All of an account, or those of one topic, in order of their creation. With large filter policies a page has fewer
   * than it might have: they are stored once for all that share one, but shown with each.
   */
  async list(
    account: string,
    topicId: string | undefined,
    request: PageRequest,
  ): Promise<Page<Subscription>> {
    const limit = request.limit ?? DEFAULT_PAGE;
    const rows = await inTurn(account, async () =>
      selectListed(this.#db)
        .where(listed(account, topicId, request))
        .orderBy(asc(subscriptions.id))
        .limit(limit + 1),
    );
    return pageOf(rows.map(subscriptionOf), fittingLimit(rows, limit), ({ id }) => id);
  }

  /** The same, without their settings. */
  async links(
    account: string,
    topicId: string | undefined,
    request: PageRequest,
  ): Promise<Page<Link>> {
    const limit = request.limit ?? DEFAULT_PAGE;
    const rows = await inTurn(account, async () =>
      selectLinks(this.#db)
        .where(listed(account, topicId, request))
        .orderBy(asc(subscriptions.id))
        .limit(limit + 1),
    );
    return pageOf(rows.map(linkOf), limit, ({ id }) => id);
  }

  /** How many a topic has. */
  async count(account: string, topicId: string): Promise<number> {
    return await this.#db.$count(subscriptions, of(account, topicId));
  }

  /**
   * Changes what is named and leaves the rest; of two calls at once both count.
   * @throws {SluiceError} `subscription_not_found`, `invalid_filter_policy`, `invalid_request`
   */
  async update(
    account: string,
    id: string,
    change: Partial<SubscriptionSettings>,
  ): Promise<Subscription> {
    try {
      return await this.#db.transaction((tx) => changed(tx, { account, id }, change));
    } catch (error) {
      if (classifyFailure(error) !== "missing-reference") throw error;
      // The dead-letter queue or the policy was deleted since we found it.
      return await this.update(account, id, change);
    }
  }

  /** @throws {SluiceError} `subscription_not_found` */
  async delete(account: string, id: string): Promise<void> {
    const rows = await this.#db
      .delete(subscriptions)
      .where(identified(account, id))
      .returning({ id: subscriptions.id });
    if (rows.length === 0) throw subscriptionNotFound(id);
  }
}

/** Done in the transaction that makes a subscription, when it makes one. */
type AlongWith = (tx: Pick<ControlPlane, "insert">, id: string) => Promise<void>;

interface Named {
  id: string;
  name: string;
}

/** Under a lock on the row, so that of two changes at once the later one sees what the first one did. */
async function changed(
  tx: Pick<ControlPlane, "select" | "insert" | "update">,
  { account, id }: { account: string; id: string },
  change: Partial<SubscriptionSettings>,
): Promise<Subscription> {
  await tx
    .select({ id: subscriptions.id })
    .from(subscriptions)
    .where(identified(account, id))
    .for("update");
  const [row] = await select(tx).where(identified(account, id));
  if (!row) throw subscriptionNotFound(id);
  const existing = subscriptionOf(row);
  const settings = mergedSettings(existing, change);
  if (existing.queueDeleted && settings.redrivePolicy === null) {
    throw invalidRequest(
      "redrivePolicy",
      "the queue was deleted and its dead-letter queue is all that is left; delete the subscription instead",
    );
  }
  const columns = await columnsOf(tx, { account, queue: existing.queue }, settings);
  await tx.update(subscriptions).set(columns).where(identified(account, id));
  return { ...existing, ...settings };
}

/** Settings as columns: the policy and the dead-letter queue by their ids, once they are known to be right. */
async function columnsOf(
  db: Pick<ControlPlane, "select" | "insert">,
  { account, queue }: { account: string; queue: string },
  { filterPolicy, filterPolicyScope, rawDelivery, redrivePolicy }: SubscriptionSettings,
) {
  return {
    filterPolicyScope,
    rawDelivery,
    filterId:
      filterPolicy === null
        ? null
        : await filterIdOf(db, account, { policy: filterPolicy, scope: filterPolicyScope }),
    deadLetterQueueId:
      redrivePolicy === null
        ? null
        : await deadLetterQueueId(db, { account, queue }, redrivePolicy.deadLetterQueue),
  };
}

async function deadLetterQueueId(
  db: Reader,
  { account, queue }: { account: string; queue: string },
  name: string,
): Promise<bigint | null> {
  const [row] = await db
    .select({ id: queues.id })
    .from(queues)
    .where(and(eq(queues.account, BigInt(account)), eq(queues.name, name)));
  checkDeadLetterQueue(queue, name, row !== undefined);
  return row?.id ?? null;
}

/** All of an account, or those of one topic. */
function of(account: string, topicId: string | undefined) {
  return and(
    eq(subscriptions.account, BigInt(account)),
    topicId === undefined ? undefined : eq(subscriptions.topicId, BigInt(topicId)),
  );
}

/** @throws {SluiceError} `invalid_request` for a cursor that is none */
function listed(account: string, topicId: string | undefined, { cursor }: PageRequest) {
  const after = afterCursor(cursor, UUID);
  return and(of(account, topicId), after === undefined ? undefined : gt(subscriptions.id, after));
}

function identified(account: string, id: string) {
  return and(eq(subscriptions.id, id), eq(subscriptions.account, BigInt(account)));
}

import { schema, type ControlPlane } from "@sluice/database";
import { and, asc, eq, gt } from "drizzle-orm";
import { v7 as uuidv7 } from "uuid";

import {
  afterCursor,
  DEFAULT_PAGE,
  pageOf,
  type Page,
  type PageRequest,
  UUID,
} from "../directory/pages.ts";
import { SluiceError } from "../errors.ts";

export interface Subscription {
  id: string;
  topic: string;
  queue: string;
  createdAt: Date;
}

const { subscriptions, topics, queues } = schema;

/** Which queues a topic fans out to. A subscription counts for every publish that is answered after it was. */
export class Subscriptions {
  readonly #db: ControlPlane;

  constructor(db: ControlPlane) {
    this.#db = db;
  }

  /** Subscribes a queue to a topic, or finds the subscription that is there. */
  async create(
    account: string,
    topic: { id: string; name: string },
    queue: { id: string; name: string },
  ): Promise<{ subscription: Subscription; created: boolean }> {
    const [row] = await this.#db
      .insert(subscriptions)
      .values({
        id: uuidv7(),
        account: BigInt(account),
        topicId: BigInt(topic.id),
        queueId: BigInt(queue.id),
      })
      .onConflictDoNothing()
      .returning();
    if (row) {
      return {
        subscription: {
          id: row.id,
          topic: topic.name,
          queue: queue.name,
          createdAt: row.createdAt,
        },
        created: true,
      };
    }
    const [existing] = await this.#select().where(
      and(eq(subscriptions.topicId, BigInt(topic.id)), eq(subscriptions.queueId, BigInt(queue.id))),
    );
    // Ended between the two statements: subscribe anew.
    return existing
      ? { subscription: existing, created: false }
      : await this.create(account, topic, queue);
  }

  async find(account: string, id: string): Promise<Subscription | undefined> {
    const [row] = await this.#select().where(
      and(eq(subscriptions.id, id), eq(subscriptions.account, BigInt(account))),
    );
    return row;
  }

  /** All of an account, or those of one topic, in order of their creation. */
  async list(
    account: string,
    topicId: string | undefined,
    request: PageRequest,
  ): Promise<Page<Subscription>> {
    const limit = request.limit ?? DEFAULT_PAGE;
    const after = afterCursor(request.cursor, UUID);
    const rows = await this.#select()
      .where(
        and(
          eq(subscriptions.account, BigInt(account)),
          topicId === undefined ? undefined : eq(subscriptions.topicId, BigInt(topicId)),
          after === undefined ? undefined : gt(subscriptions.id, after),
        ),
      )
      .orderBy(asc(subscriptions.id))
      .limit(limit + 1);
    return pageOf(rows, limit, (subscription) => subscription.id);
  }

  /** @throws {SluiceError} `subscription_not_found` */
  async delete(account: string, id: string): Promise<void> {
    const rows = await this.#db
      .delete(subscriptions)
      .where(and(eq(subscriptions.id, id), eq(subscriptions.account, BigInt(account))))
      .returning({ id: subscriptions.id });
    if (rows.length === 0) throw subscriptionNotFound(id);
  }

  #select() {
    return this.#db
      .select({
        id: subscriptions.id,
        topic: topics.name,
        queue: queues.name,
        createdAt: subscriptions.createdAt,
      })
      .from(subscriptions)
      .innerJoin(topics, eq(topics.id, subscriptions.topicId))
      .innerJoin(queues, eq(queues.id, subscriptions.queueId))
      .$dynamic();
  }
}

export function subscriptionNotFound(id: string): SluiceError {
  return new SluiceError("subscription_not_found", `there is no subscription "${id}"`);
}

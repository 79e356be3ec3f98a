import { schema, type ControlPlane } from "@sluice/database";
import { eq, sql, type SQL } from "drizzle-orm";
import { alias } from "drizzle-orm/pg-core";

import { fitsPage, ifFits } from "../directory/pages.ts";
import type { SubscriptionSettings } from "./subscription-settings.ts";

export interface Subscription extends SubscriptionSettings {
  id: string;
  topic: string;
  queue: string;
  /** Whether the queue was deleted: deliveries go to the dead-letter queue until there is one of that name again. */
  queueDeleted: boolean;
  createdAt: Date;
}

/** What a subscription connects. */
export type Link = Pick<Subscription, "id" | "topic" | "queue">;

const { subscriptions, topics, queues, filterPolicies } = schema;
const deadLetterQueues = alias(queues, "dead_letter_queues");

export type Reader = Pick<ControlPlane, "select">;

const linked = {
  id: subscriptions.id,
  topic: topics.name,
  queue: queues.name,
  deletedQueue: subscriptions.deletedQueue,
};

export function selectLinks(db: Reader) {
  return db
    .select(linked)
    .from(subscriptions)
    .innerJoin(topics, eq(topics.id, subscriptions.topicId))
    .leftJoin(queues, eq(queues.id, subscriptions.queueId))
    .$dynamic();
}

/** As lists show them, each with whether it is within the bytes of a page. */
export function selectListed(db: Reader) {
  const bytes = sql`coalesce(octet_length(${filterPolicies.policy}), 0)`;
  return select(db, fitsPage(bytes, subscriptions.id));
}

/** @param fits - For a list: which rows are within a page; of others the policy is not read */
export function select(db: Reader, fits?: SQL<boolean>) {
  const { policy } = filterPolicies;
  return db
    .select({
      ...linked,
      filterPolicy: fits ? ifFits(fits, policy) : sql<string | null>`${policy}`,
      filterPolicyScope: subscriptions.filterPolicyScope,
      rawDelivery: subscriptions.rawDelivery,
      deadLetterQueue: deadLetterQueues.name,
      createdAt: subscriptions.createdAt,
      fits: fits ?? sql<boolean>`true`,
    })
    .from(subscriptions)
    .innerJoin(topics, eq(topics.id, subscriptions.topicId))
    .leftJoin(queues, eq(queues.id, subscriptions.queueId))
    .leftJoin(filterPolicies, eq(filterPolicies.id, subscriptions.filterId))
    .leftJoin(deadLetterQueues, eq(deadLetterQueues.id, subscriptions.deadLetterQueueId))
    .$dynamic();
}

type Row = Awaited<ReturnType<typeof select>>[number];

export function linkOf({
  id,
  topic,
  queue,
  deletedQueue,
}: Pick<Row, "id" | "topic" | "queue" | "deletedQueue">): Link {
  return { id, topic, queue: queue ?? deletedQueue ?? "" };
}

export function subscriptionOf({ deadLetterQueue, ...row }: Row): Subscription {
  return {
    ...linkOf(row),
    queueDeleted: row.deletedQueue !== null,
    filterPolicy: row.filterPolicy === null ? null : (JSON.parse(row.filterPolicy) as object),
    filterPolicyScope: row.filterPolicyScope,
    rawDelivery: row.rawDelivery,
    redrivePolicy: deadLetterQueue === null ? null : { deadLetterQueue },
    createdAt: row.createdAt,
  };
}

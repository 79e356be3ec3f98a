import { sql } from "drizzle-orm";
import {
  boolean,
  check,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  unique,
  uuid,
} from "drizzle-orm/pg-core";

import { account, bytea, fromDatabaseClock, id, time } from "./columns.ts";
import { queues } from "./queues.ts";

/** A name that producers publish to. */
export const topics = pgTable(
  "topics",
  {
    id: id("id").primaryKey().generatedAlwaysAsIdentity(),
    account: account(),
    name: text("name").notNull(),
    /** Whether it keeps the order of a message group; its name ends in `.fifo` then, and only then. */
    fifo: boolean("fifo").notNull().default(false),
    /** Of a FIFO topic: whether a message without a deduplication id gets the SHA-256 of its body. */
    contentBasedDeduplication: boolean("content_based_deduplication").notNull().default(false),
    /** Of a FIFO topic: within what a deduplication id tells messages apart. */
    fifoThroughputScope: text("fifo_throughput_scope")
      .$type<"topic" | "messageGroup">()
      .notNull()
      .default("topic"),
    maxMessageSize: integer("max_message_size").notNull().default(262_144),
    tags: jsonb("tags").$type<Record<string, string>>().notNull().default({}),
    /** How long what is published is kept, and since when it has been; both or neither. */
    archiveDays: integer("archive_days"),
    archivedSince: time("archived_since"),
    /** What AWS' protocols set and show although it has no meaning here, such as a Policy, by its name there. */
    awsAttributes: jsonb("aws_attributes").$type<Record<string, string>>().notNull().default({}),
    createdAt: time("created_at").notNull().default(fromDatabaseClock),
  },
  (t) => [
    unique("topics_name").on(t.account, t.name),
    check(
      "topics_archive",
      sql`(${t.archiveDays} IS NULL) = (${t.archivedSince} IS NULL) AND ${t.archiveDays} BETWEEN 1 AND 365`,
    ),
    // Postgres' regular expressions count to 255 only.
    check(
      "topics_name_form",
      sql`CASE WHEN ${t.fifo} THEN ${t.name} ~ '^[A-Za-z0-9_-]+[.]fifo$' ELSE ${t.name} ~ '^[A-Za-z0-9_-]+$' END AND length(${t.name}) <= 256`,
    ),
    check(
      "topics_fifo",
      sql`${t.fifo} OR NOT ${t.contentBasedDeduplication} AND ${t.fifoThroughputScope} = 'topic'`,
    ),
    check(
      "topics_fifo_throughput_scope",
      sql`${t.fifoThroughputScope} IN ('topic', 'messageGroup')`,
    ),
    check("topics_max_message_size", sql`${t.maxMessageSize} BETWEEN 1024 AND 1048576`),
  ],
);

/**
 * Filter policies, each once for all subscriptions that have it: it is compiled once, and evaluated once a message. A
 * row is never changed and an id never used again, so what a process remembers of one is right for ever.
 */
export const filterPolicies = pgTable(
  "filter_policies",
  {
    id: id("id").primaryKey().generatedAlwaysAsIdentity(),
    account: account(),
    scope: text("scope").$type<"MessageAttributes" | "MessageBody">().notNull(),
    /** JSON as it was given, but for white space. */
    policy: text("policy").notNull(),
    /** SHA-256 of scope and policy. */
    hash: bytea("hash").notNull(),
    createdAt: time("created_at").notNull().default(fromDatabaseClock),
  },
  (t) => [
    unique("filter_policies_hash").on(t.account, t.hash),
    check("filter_policies_scope", sql`${t.scope} IN ('MessageAttributes', 'MessageBody')`),
  ],
);

/** Topic → queue. Fan-out joins this table, so a subscription counts from the commit that wrote it. */
export const subscriptions = pgTable(
  "subscriptions",
  {
    id: uuid("id").primaryKey(),
    account: account(),
    topicId: id("topic_id")
      .notNull()
      .references(() => topics.id, { onDelete: "cascade" }),
    /** Null while the queue is deleted: what would go there goes to the dead-letter queue of the subscription. */
    queueId: id("queue_id").references(() => queues.id, { onDelete: "cascade" }),
    /** The name of the queue that was deleted; a new queue of that name takes its place. */
    deletedQueue: text("deleted_queue"),
    /** Null accepts everything. */
    filterId: id("filter_id").references(() => filterPolicies.id),
    filterPolicyScope: text("filter_policy_scope")
      .$type<"MessageAttributes" | "MessageBody">()
      .notNull()
      .default("MessageAttributes"),
    /** Whether the queue gets messages as they are, or each inside a notification of SNS. */
    rawDelivery: boolean("raw_delivery").notNull().default(true),
    /** Where deliveries go while the queue is deleted. */
    deadLetterQueueId: id("dead_letter_queue_id").references(() => queues.id, {
      onDelete: "set null",
    }),
    createdAt: time("created_at").notNull().default(fromDatabaseClock),
  },
  (t) => [
    unique("subscriptions_topic_queue").on(t.topicId, t.queueId),
    index("subscriptions_queue").on(t.queueId),
    index("subscriptions_filter")
      .on(t.filterId)
      .where(sql`${t.filterId} IS NOT NULL`),
    index("subscriptions_dead_letter")
      .on(t.deadLetterQueueId)
      .where(sql`${t.deadLetterQueueId} IS NOT NULL`),
    index("subscriptions_deleted_queue")
      .on(t.account, t.deletedQueue)
      .where(sql`${t.deletedQueue} IS NOT NULL`),
    check(
      "subscriptions_queue_or_deleted",
      sql`(${t.queueId} IS NULL) = (${t.deletedQueue} IS NOT NULL)`,
    ),
    check(
      "subscriptions_filter_policy_scope",
      sql`${t.filterPolicyScope} IN ('MessageAttributes', 'MessageBody')`,
    ),
  ],
);

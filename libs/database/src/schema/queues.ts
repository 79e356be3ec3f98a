import { sql } from "drizzle-orm";
import {
  boolean,
  check,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  unique,
} from "drizzle-orm/pg-core";

import { account, fromDatabaseClock, id, time } from "./columns.ts";

/** A named point-to-point buffer. Durations are in seconds, sizes in bytes (LIMITS: queues). */
export const queues = pgTable(
  "queues",
  {
    id: id("id").primaryKey().generatedAlwaysAsIdentity(),
    account: account(),
    name: text("name").notNull(),
    visibilityTimeout: integer("visibility_timeout").notNull().default(30),
    delay: integer("delay").notNull().default(0),
    retention: integer("retention").notNull().default(345_600),
    maxMessageSize: integer("max_message_size").notNull().default(1_048_576),
    receiveWait: integer("receive_wait").notNull().default(0),
    /** Where a delivery goes instead of being received once more than `maxReceiveCount`; both or neither. */
    deadLetterQueueId: id("dead_letter_queue_id"),
    maxReceiveCount: integer("max_receive_count"),
    /** Which queues may name this one as their dead-letter queue. */
    redriveAllow: jsonb("redrive_allow")
      .$type<{ permission: "allowAll" | "denyAll" | "byQueue"; queues?: string[] }>()
      .notNull()
      .default({ permission: "allowAll" }),
    /**
     * Whether messages of a group are delivered in the order of their commits; its name ends in `.fifo` then, and only
     * then.
     */
    fifo: boolean("fifo").notNull().default(false),
    /** Of a FIFO queue: whether a message without a deduplication id gets the SHA-256 of its body. */
    contentBasedDeduplication: boolean("content_based_deduplication").notNull().default(false),
    /** Of a FIFO queue: within what a deduplication id tells messages apart. */
    deduplicationScope: text("deduplication_scope")
      .$type<"queue" | "messageGroup">()
      .notNull()
      .default("queue"),
    fifoThroughputLimit: text("fifo_throughput_limit")
      .$type<"perQueue" | "perMessageGroupId">()
      .notNull()
      .default("perQueue"),
    /** Whether receives get nothing; sends and fan-out go on. */
    paused: boolean("paused").notNull().default(false),
    /**
     * Whether messages with a group id were in flight at a time: since then messages without one get the group "" in
     * `slices`, so that they are found by the index over groups; see quietSlices.
     */
    hasTenants: boolean("has_tenants").notNull().default(false),
    /** When it was purged last, for whoever wants a while between two purges. */
    purgedAt: time("purged_at"),
    tags: jsonb("tags").$type<Record<string, string>>().notNull().default({}),
    /** What AWS' protocols set and show although it has no meaning here, such as a Policy, by its name there. */
    awsAttributes: jsonb("aws_attributes").$type<Record<string, string>>().notNull().default({}),
    createdAt: time("created_at").notNull().default(fromDatabaseClock),
  },
  (t) => [
    index("queues_dead_letter").on(t.deadLetterQueueId),
    check(
      "queues_redrive",
      sql`(${t.deadLetterQueueId} IS NULL) = (${t.maxReceiveCount} IS NULL) AND ${t.maxReceiveCount} BETWEEN 1 AND 1000`,
    ),
    unique("queues_name").on(t.account, t.name),
    check(
      "queues_name_form",
      sql`CASE WHEN ${t.fifo} THEN ${t.name} ~ '^[A-Za-z0-9_-]{1,75}[.]fifo$' ELSE ${t.name} ~ '^[A-Za-z0-9_-]{1,80}$' END`,
    ),
    check(
      "queues_fifo",
      sql`${t.fifo} OR NOT ${t.contentBasedDeduplication} AND ${t.deduplicationScope} = 'queue' AND ${t.fifoThroughputLimit} = 'perQueue'`,
    ),
    check(
      "queues_fifo_throughput",
      sql`${t.deduplicationScope} = 'messageGroup' OR ${t.deduplicationScope} = 'queue' AND ${t.fifoThroughputLimit} = 'perQueue'`,
    ),
    check(
      "queues_fifo_throughput_limit",
      sql`${t.fifoThroughputLimit} IN ('perQueue', 'perMessageGroupId')`,
    ),
    check("queues_visibility_timeout", sql`${t.visibilityTimeout} BETWEEN 0 AND 43200`),
    check("queues_delay", sql`${t.delay} >= 0`),
    check("queues_retention", sql`${t.retention} BETWEEN 60 AND 1209600`),
    check("queues_max_message_size", sql`${t.maxMessageSize} BETWEEN 1024 AND 1048576`),
    check("queues_receive_wait", sql`${t.receiveWait} BETWEEN 0 AND 20`),
  ],
);

/**
 * How many messages came to a queue and left it, by kind, since it was created: what was folded out of `queue_ledger`.
 *
 * The ledger itself is a table that Drizzle has no words for (0003_storage.sql): partitioned, filled by each statement
 * that changes what rests in a queue, emptied by TRUNCATE.
 */
export const queueTotals = pgTable(
  "queue_totals",
  {
    queueId: id("queue_id")
      .notNull()
      .references(() => queues.id, { onDelete: "cascade" }),
    kind: text("kind").notNull(),
    account: account(),
    messages: id("messages").notNull(),
  },
  (t) => [primaryKey({ name: "queue_totals_pkey", columns: [t.queueId, t.kind] })],
);

/** How many messages of a queue were delayed until that minute, for the minutes that are still to come. */
export const queueDelays = pgTable(
  "queue_delays",
  {
    queueId: id("queue_id")
      .notNull()
      .references(() => queues.id, { onDelete: "cascade" }),
    dueAt: time("due_at").notNull(),
    account: account(),
    messages: id("messages").notNull(),
  },
  (t) => [
    primaryKey({ name: "queue_delays_pkey", columns: [t.queueId, t.dueAt] }),
    index("queue_delays_due").on(t.dueAt),
  ],
);

/** Queues deleted a while ago, whose slices the clean-up still removes. */
export const deletedQueues = pgTable("deleted_queues", {
  queueId: id("queue_id").primaryKey(),
  account: account(),
  /** Null for those deleted before names were kept. */
  name: text("name"),
  deletedAt: time("deleted_at").notNull().default(fromDatabaseClock),
});

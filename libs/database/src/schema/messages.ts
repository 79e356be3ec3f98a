import { sql } from "drizzle-orm";
import {
  boolean,
  check,
  index,
  integer,
  pgSequence,
  pgTable,
  primaryKey,
  smallint,
  text,
  uuid,
} from "drizzle-orm/pg-core";

import { account, fromDatabaseClock, id, time } from "./columns.ts";

export const batchIds = pgSequence("batch_ids");

/**
 * The messages of one write, stored once: one serialised message a line. A line that somebody may still receive never
 * changes; see compactBatches.
 *
 * At most 63 of them, so that any set of them is a non-negative `bigint`. No foreign keys: hot rows that refer to
 * hot rows lock them for share, and many sharers of one row are a MultiXact each (docs: ARCHITECTURE.md).
 */
export const batches = pgTable(
  "batches",
  {
    id: id("id").primaryKey(),
    account: account(),
    sentAt: time("sent_at").notNull(),
    messageCount: smallint("message_count").notNull(),
    payload: text("payload").notNull(),
    /** The messages whose lines are still there, a bit each: compaction empties the lines that no slice refers to. */
    kept: id("kept")
      .notNull()
      .default(sql`9223372036854775807`),
  },
  (t) => [check("batches_message_count", sql`${t.messageCount} BETWEEN 1 AND 63`)],
);

/** Batches that wait for their fan-out. Deleting the row is the mark 'fanned out', in the transaction that fans out. */
export const outbox = pgTable(
  "outbox",
  {
    batchId: id("batch_id").primaryKey(),
    account: account(),
    topicId: id("topic_id").notNull(),
    sentAt: time("sent_at").notNull(),
    messageCount: smallint("message_count").notNull(),
    /** The groups of its messages, and which messages are in each; null where none has a group. */
    groupIds: text("group_ids").array(),
    groupMasks: id("group_masks").array(),
    /** Of FIFO topics: its place in the order of the topic's commits. Null elsewhere, with all that follows. */
    sequence: id("sequence"),
    /** The messages that are no duplicates: their bits, and what FIFO queues ask of each. */
    messageBits: smallint("message_bits").array(),
    messageIds: uuid("message_ids").array(),
    messageGroupIds: text("message_group_ids").array(),
    deduplicationIds: text("deduplication_ids").array(),
  },
  (t) => [
    // The sweeper begins where it was a while ago: batch ids are handed out in blocks, so they are in no order of time.
    index("outbox_sent")
      .on(t.sentAt)
      .where(sql`${t.sequence} IS NULL`),
    index("outbox_order")
      .on(t.topicId, t.sequence)
      .where(sql`${t.sequence} IS NOT NULL`),
  ],
);

export const leaseIds = pgSequence("lease_ids", { cache: 32 });

/**
 * The undelivered part of one batch in one queue: a bit a message.
 *
 * A delivery is (queue, batch, bit). Several slices of one batch may rest in one queue; their bits are disjoint, since
 * whatever applies to some messages only splits a slice. There is one index, and it is not unique: two parts of a batch
 * may become visible at the same instant. (A second one is for messages with a group only.) A receipt handle names the
 * row through that index (a claim writes `visible_at` in whole milliseconds so that it survives the journey) and is
 * fenced by `lease`; only a slice whose visibility its holder has changed since (`moved`) is found through the small
 * partial index instead.
 */
export const slices = pgTable(
  "slices",
  {
    queueId: id("queue_id").notNull(),
    visibleAt: time("visible_at").notNull(),
    batchId: id("batch_id").notNull(),
    pending: id("pending").notNull(),
    account: account(),
    /** The receive that holds it or held it last; 0 before the first one. */
    lease: id("lease")
      .notNull()
      .default(sql`0`),
    sentAt: time("sent_at").notNull(),
    firstReceivedAt: time("first_received_at"),
    /** The last receive: no visibility change goes further than 12 hours from here. */
    receivedAt: time("received_at"),
    receiveCount: integer("receive_count").notNull().default(0),
    moved: boolean("moved").notNull().default(false),
    /**
     * Of a dead letter: the queue that it came from; 0, which is none, where that was deleted before and a topic
     * delivered it.
     */
    sourceQueueId: id("source_queue_id"),
    /** Why it failed last, in the words of the consumer that gave it back; of a dead letter, why it is one. */
    failureReason: text("failure_reason"),
    /** The group (tenant) that all its messages belong to; null where they have none. */
    groupId: text("group_id"),
    /** `<topic>/<subscription>`: handed out inside a notification of SNS. Null: as it is. */
    envelope: text("envelope"),
    /** Of what was replayed: when it was published. (It was sent to this queue when it was replayed.) */
    publishedAt: time("published_at"),
  },
  (t) => [
    index("slices_visible").on(t.queueId, t.visibleAt, t.batchId),
    index("slices_groups")
      .on(t.queueId, t.groupId, t.visibleAt)
      .where(sql`${t.groupId} IS NOT NULL`),
    index("slices_moved")
      .on(t.queueId, t.batchId)
      .where(sql`${t.moved}`),
    check("slices_pending", sql`${t.pending} > 0`),
    check("slices_failure_reason", sql`length(${t.failureReason}) <= 1024`),
  ],
);

/** What a publish or send with an Idempotency-Key stored, so that its repeat stores nothing and answers the same. */
export const idempotencyKeys = pgTable(
  "idempotency_keys",
  {
    account: account(),
    key: text("key").notNull(),
    /** Topic or queue id; both come from one range each, so the kind is part of the identity. */
    targetKind: text("target_kind").$type<"topic" | "queue">().notNull(),
    targetId: id("target_id").notNull(),
    messageCount: integer("message_count").notNull(),
    /** Where its messages are stored; see encodeStoredCall. */
    storedCall: text("stored_call").notNull(),
    /** From when on its five minutes count: of a call that is signed for a time, the end of that. */
    createdAt: time("created_at").notNull().default(fromDatabaseClock),
  },
  (t) => [
    primaryKey({ name: "idempotency_keys_pkey", columns: [t.account, t.key] }),
    index("idempotency_keys_created").on(t.createdAt),
  ],
);

import { sql } from "drizzle-orm";
import {
  boolean,
  check,
  index,
  integer,
  pgSequence,
  pgTable,
  primaryKey,
  text,
  uuid,
} from "drizzle-orm/pg-core";

import { account, id, time } from "./columns.ts";

/**
 * Numbers the batches of FIFO topics. Taken under the lock of their topic and without a cache: of a topic its order is
 * that of commits.
 */
export const topicSequences = pgSequence("topic_sequences");

/** What FIFO topics accepted lately; the same id again within five minutes is not stored again. */
export const topicDeduplicationIds = pgTable(
  "topic_deduplication_ids",
  {
    topicId: id("topic_id").notNull(),
    /** The group within which the id counts, or nothing: the whole topic. */
    scope: text("scope").notNull(),
    deduplicationId: text("deduplication_id").notNull(),
    account: account(),
    acceptedAt: time("accepted_at").notNull(),
    messageId: uuid("message_id").notNull(),
    sequenceNumber: text("sequence_number").notNull(),
  },
  (t) => [
    primaryKey({
      name: "topic_deduplication_ids_pkey",
      columns: [t.topicId, t.scope, t.deduplicationId],
    }),
    index("topic_deduplication_ids_accepted").on(t.acceptedAt),
  ],
);

/**
 * Numbers FIFO slices. Taken under the lock of their queue and without a cache: in a queue its order is that of
 * commits.
 */
export const fifoSequences = pgSequence("fifo_sequences");

/**
 * A message group of a FIFO queue that has messages. Whoever changes anything about the messages of a group holds this
 * row.
 *
 * There is one row for a group, since whoever adds one holds the lock of its queue. The head is in the key so that the
 * living row of a group is found without the dead ones before it; see groupRow.
 */
export const fifoGroups = pgTable(
  "fifo_groups",
  {
    queueId: id("queue_id").notNull(),
    groupId: text("group_id").notNull(),
    account: account(),
    /**
     * When something of it may be handed out: the latest deadline of what is in flight, else when its first message is
     * visible. Since when, where that has come; it is never written as a time that has passed.
     */
    availableAt: time("available_at").notNull(),
    /** Nothing of the group has a lower sequence: where a scan begins, past the rows that are dead. */
    headSequence: id("head_sequence").notNull(),
    /** Nothing with a higher sequence was ever received: where a look for what is in flight ends. */
    receivedUpto: id("received_upto")
      .notNull()
      .default(sql`0`),
  },
  (t) => [
    primaryKey({ name: "fifo_groups_pkey", columns: [t.queueId, t.groupId, t.headSequence] }),
    index("fifo_groups_available").on(t.queueId, t.availableAt),
    check("fifo_groups_group_id", sql`${t.groupId} ~ '^[!-~]{1,128}$'`),
  ],
);

/**
 * The undelivered messages of one group out of one batch in one FIFO queue.
 *
 * A delivery is (queue, sequence, bit). What is split off keeps the sequence, and of two parts one has all the lower
 * bits: the order within a group is (sequence, lowest bit). A message that is moved to another queue gets a new
 * sequence there.
 */
export const fifoSlices = pgTable(
  "fifo_slices",
  {
    queueId: id("queue_id").notNull(),
    groupId: text("group_id").notNull(),
    sequence: id("sequence").notNull(),
    batchId: id("batch_id").notNull(),
    pending: id("pending").notNull(),
    account: account(),
    visibleAt: time("visible_at").notNull(),
    /** The receive that holds it or held it last; 0 before the first one. */
    lease: id("lease")
      .notNull()
      .default(sql`0`),
    sentAt: time("sent_at").notNull(),
    /** When the receive that holds it, or held it last, was made. */
    receivedAt: time("received_at"),
    firstReceivedAt: time("first_received_at"),
    receiveCount: integer("receive_count").notNull().default(0),
    /** Sent with a delay and not received yet: it can be cancelled, so it can be found by its batch. */
    delayed: boolean("delayed").notNull().default(false),
    /**
     * Of a dead letter: the queue that it came from; 0, which is none, where that was deleted before and a topic
     * delivered it.
     */
    sourceQueueId: id("source_queue_id"),
    /** Why it failed last, in the words of the consumer that gave it back; of a dead letter, why it is one. */
    failureReason: text("failure_reason"),
    /** As what it was fanned out: `<topic name>/<subscription id>`; null is raw. */
    envelope: text("envelope"),
    /** Of what was replayed: when it was published. (It was sent to this queue when it was replayed.) */
    publishedAt: time("published_at"),
  },
  (t) => [
    index("fifo_slices_order").on(t.queueId, t.groupId, t.sequence),
    index("fifo_slices_sequence").on(t.queueId, t.sequence),
    index("fifo_slices_delayed")
      .on(t.queueId, t.batchId)
      .where(sql`${t.delayed}`),
    check("fifo_slices_pending", sql`${t.pending} > 0`),
    check("fifo_slices_failure_reason", sql`length(${t.failureReason}) <= 1024`),
  ],
);

/** What FIFO queues accepted lately; the same id again within five minutes is not stored again. */
export const deduplicationIds = pgTable(
  "deduplication_ids",
  {
    queueId: id("queue_id").notNull(),
    /** The group within which the id counts, or nothing: the whole queue. */
    scope: text("scope").notNull(),
    deduplicationId: text("deduplication_id").notNull(),
    account: account(),
    acceptedAt: time("accepted_at").notNull(),
    messageId: uuid("message_id").notNull(),
    sequenceNumber: text("sequence_number").notNull(),
  },
  (t) => [
    primaryKey({
      name: "deduplication_ids_pkey",
      columns: [t.queueId, t.scope, t.deduplicationId],
    }),
    index("deduplication_ids_accepted").on(t.acceptedAt),
  ],
);

/** What a receive with an attempt id got from a FIFO queue, so that its repeat gets the same. */
export const receiveAttempts = pgTable(
  "receive_attempts",
  {
    queueId: id("queue_id").notNull(),
    attemptId: text("attempt_id").notNull(),
    account: account(),
    lease: id("lease").notNull(),
    sequences: id("sequences").array().notNull(),
    messageCount: integer("message_count").notNull(),
    receivedAt: time("received_at").notNull(),
  },
  (t) => [
    primaryKey({ name: "receive_attempts_pkey", columns: [t.queueId, t.attemptId] }),
    index("receive_attempts_received").on(t.receivedAt),
  ],
);

/* oxlint-disable max-lines -- every table in one place, in the order in which a message meets them */
import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  check,
  customType,
  index,
  integer,
  jsonb,
  pgSequence,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";

const bytea = customType<{ data: Uint8Array }>({ dataType: () => "bytea" });

/** A bigint where Drizzle reads it; hot statements get ids as decimal strings, which is how they travel elsewhere. */
const id = (name: string) => bigint(name, { mode: "bigint" });
/** The owning tenant: the twelve digits of its account number as an integer. */
const account = () => bigint("account", { mode: "bigint" }).notNull();
/** An id of a transaction, and which transactions a statement saw; both compared by Postgres alone. */
const transactionId = customType<{ data: string }>({ dataType: () => "xid8" });
const snapshot = customType<{ data: string }>({ dataType: () => "pg_snapshot" });
const time = (name: string) => timestamp(name, { withTimezone: true });
const fromDatabaseClock = sql`clock_timestamp()`;

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
    /** Whether messages of a group are delivered in the order of their commits; its name ends in `.fifo` then, and only then. */
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
 * Filter policies, each once for all subscriptions that have it: it is compiled once, and evaluated once a message. A row is
 * never changed and an id never used again, so what a process remembers of one is right for ever.
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

export const batchIds = pgSequence("batch_ids");
export const leaseIds = pgSequence("lease_ids", { cache: 32 });

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

/** Numbers the batches of FIFO topics. Taken under the lock of their topic and without a cache: of a topic its order is that of commits. */
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
 * The undelivered part of one batch in one queue: a bit a message.
 *
 * A delivery is (queue, batch, bit). Several slices of one batch may rest in one queue; their bits are disjoint, since
 * whatever applies to some messages only splits a slice. There is one index, and it is not unique: two parts of a
 * batch may become visible at the same instant. (A second one is for messages with a group only.) A receipt handle names the row through that index (a claim writes
 * `visible_at` in whole milliseconds so that it survives the journey) and is fenced by `lease`; only a slice whose
 * visibility its holder has changed since (`moved`) is found through the small partial index instead.
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
    /** Of a dead letter: the queue that it came from. */
    sourceQueueId: id("source_queue_id"),
    /** Why it failed last, in the words of the consumer that gave it back. */
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

/** Numbers FIFO slices. Taken under the lock of their queue and without a cache: in a queue its order is that of commits. */
export const fifoSequences = pgSequence("fifo_sequences");

/**
 * A message group of a FIFO queue that has messages. Whoever changes anything about the messages of a group holds this row.
 */
export const fifoGroups = pgTable(
  "fifo_groups",
  {
    queueId: id("queue_id").notNull(),
    groupId: text("group_id").notNull(),
    account: account(),
    /** When something of it may be handed out: the latest deadline of what is in flight, else when its first message is visible. */
    availableAt: time("available_at").notNull(),
    /** Nothing of the group has a lower sequence: where a scan begins, past the rows that are dead. */
    headSequence: id("head_sequence").notNull(),
    /** Nothing with a higher sequence was ever received: where a look for what is in flight ends. */
    receivedUpto: id("received_upto")
      .notNull()
      .default(sql`0`),
  },
  (t) => [
    primaryKey({ name: "fifo_groups_pkey", columns: [t.queueId, t.groupId] }),
    index("fifo_groups_available").on(t.queueId, t.availableAt),
    check("fifo_groups_group_id", sql`${t.groupId} ~ '^[!-~]{1,128}$'`),
  ],
);

/**
 * The undelivered messages of one group out of one batch in one FIFO queue.
 *
 * A delivery is (queue, sequence, bit). What is split off keeps the sequence, and of two parts one has all the lower
 * bits: the order within a group is (sequence, lowest bit). A message that is moved to another queue gets a new sequence there.
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
    /** Of a dead letter: the queue that it came from. */
    sourceQueueId: id("source_queue_id"),
    /** Why it failed last, in the words of the consumer that gave it back. */
    failureReason: text("failure_reason"),
    /** As what it was fanned out: `<topic name>/<subscription id>`; null is raw. */
    envelope: text("envelope"),
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

/**
 * How many messages came to a queue and left it, by kind, since it was created: what was folded out of `queue_ledger`.
 *
 * The ledger itself is a table that Drizzle has no words for (0003_ledger.sql): partitioned, filled by each statement that
 * changes what rests in a queue, emptied by TRUNCATE.
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

/**
 * What the archive of a topic keeps: batches, by reference. A row is written by the fan-out, in the transaction that takes
 * the batch out of the outbox.
 */
export const archivedBatches = pgTable(
  "archived_batches",
  {
    topicId: id("topic_id").notNull(),
    account: account(),
    publishedAt: time("published_at").notNull(),
    batchId: id("batch_id").notNull(),
    messageCount: smallint("message_count").notNull(),
    /** As in the outbox. */
    groupIds: text("group_ids").array(),
    groupMasks: id("group_masks").array(),
    /** What the fan-out saw: which subscriptions got the batch when it was new. */
    fannedOut: snapshot("fanned_out").notNull(),
  },
  (t) => [index("archived_batches_published").on(t.topicId, t.publishedAt, t.batchId)],
);

/** A delivery of a part of an archive to one subscription; carried on by any dispatcher. Ends with its subscription. */
export const replays = pgTable(
  "replays",
  {
    id: uuid("id").primaryKey(),
    account: account(),
    subscriptionId: uuid("subscription_id")
      .notNull()
      .references(() => subscriptions.id, { onDelete: "cascade" }),
    topicId: id("topic_id").notNull(),
    /** The first message: a time, and where a message was named also its batch and bit. */
    startAt: time("start_at").notNull(),
    startBatchId: id("start_batch_id")
      .notNull()
      .default(sql`0`),
    startBit: smallint("start_bit").notNull().default(0),
    /** The last message, in the same way. */
    endAt: time("end_at").notNull(),
    endBatchId: id("end_batch_id")
      .notNull()
      .default(sql`9223372036854775807`),
    endBit: smallint("end_bit").notNull().default(62),
    /** The transaction that made the subscription, when the replay came with it: what was fanned out seeing it came already. */
    subscribedBy: transactionId("subscribed_by"),
    /** Messages a second; absent: as fast as it goes. */
    rate: integer("rate"),
    status: text("status")
      .$type<"running" | "completed" | "cancelled">()
      .notNull()
      .default("running"),
    /** Messages that were put into the queue. */
    replayed: id("replayed")
      .notNull()
      .default(sql`0`),
    /** When a dispatcher took it up; null before. */
    startedAt: time("started_at"),
    /** The last batch that is done; both null before the first one. */
    doneAt: time("done_at"),
    doneBatchId: id("done_batch_id"),
    createdAt: time("created_at").notNull().default(fromDatabaseClock),
    finishedAt: time("finished_at"),
  },
  (t) => [
    uniqueIndex("replays_running")
      .on(t.subscriptionId)
      .where(sql`${t.status} = 'running'`),
    index("replays_subscription").on(t.subscriptionId, t.createdAt),
    check("replays_rate", sql`${t.rate} > 0`),
    check("replays_done", sql`(${t.doneAt} IS NULL) = (${t.doneBatchId} IS NULL)`),
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
    createdAt: time("created_at").notNull().default(fromDatabaseClock),
  },
  (t) => [
    primaryKey({ name: "idempotency_keys_pkey", columns: [t.account, t.key] }),
    index("idempotency_keys_created").on(t.createdAt),
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

/** Keys that every process of an installation shares, made at the first start. */
export const secrets = pgTable("secrets", {
  name: text("name").primaryKey(),
  value: bytea("value").notNull(),
});

/** Who may call, and for which account. Secrets must be recoverable to check a signature: sealed by a key outside Postgres. */
export const accessKeys = pgTable(
  "access_keys",
  {
    id: text("id").primaryKey(),
    account: account(),
    sealedSecret: bytea("sealed_secret").notNull(),
    createdAt: time("created_at").notNull().default(fromDatabaseClock),
    disabledAt: time("disabled_at"),
  },
  (t) => [
    index("access_keys_account").on(t.account),
    check("access_keys_id_form", sql`${t.id} ~ '^[A-Za-z0-9_]{16,128}$'`),
  ],
);

/** A move of dead letters, back to where they came from or to one named queue; carried on by any dispatcher. */
export const redriveTasks = pgTable(
  "redrive_tasks",
  {
    id: uuid("id").primaryKey(),
    account: account(),
    sourceQueueId: id("source_queue_id").notNull(),
    /** Absent: each message goes back to the queue that it came from. */
    destinationQueueId: id("destination_queue_id"),
    /** Messages a second; absent: as fast as it goes. */
    rate: integer("rate"),
    status: text("status")
      .$type<"running" | "completed" | "cancelled">()
      .notNull()
      .default("running"),
    moved: id("moved")
      .notNull()
      .default(sql`0`),
    /** Messages that were there to be moved when it started. */
    total: id("total").notNull(),
    /** No message that was visible before is left to be moved, as far as it is known; null before the first step. */
    scannedTo: time("scanned_to"),
    createdAt: time("created_at").notNull().default(fromDatabaseClock),
    finishedAt: time("finished_at"),
  },
  (t) => [
    uniqueIndex("redrive_tasks_running")
      .on(t.sourceQueueId)
      .where(sql`${t.status} = 'running'`),
    index("redrive_tasks_source").on(t.sourceQueueId, t.createdAt),
    check("redrive_tasks_rate", sql`${t.rate} > 0`),
  ],
);

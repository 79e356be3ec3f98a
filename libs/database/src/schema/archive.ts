import { sql } from "drizzle-orm";
import {
  check,
  index,
  integer,
  pgTable,
  smallint,
  text,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";

import { account, fromDatabaseClock, id, snapshot, time, transactionId } from "./columns.ts";
import { subscriptions } from "./topics.ts";

/**
 * What the archive of a topic keeps: batches, by reference. A row is written by the fan-out, in the transaction that
 * takes the batch out of the outbox.
 */
export const archivedBatches = pgTable(
  "archived_batches",
  {
    topicId: id("topic_id").notNull(),
    account: account(),
    publishedAt: time("published_at").notNull(),
    /**
     * Its place among what was published at that time: in a standard topic the id of the batch; in a FIFO topic its
     * sequence, and the times rise with it: so (published_at, place) is the order of commits.
     */
    place: id("place").notNull(),
    batchId: id("batch_id").notNull(),
    messageCount: smallint("message_count").notNull(),
    /**
     * The groups of its messages, with the messages of each; null where none has one. Of a FIFO topic without what was
     * a duplicate.
     */
    groupIds: text("group_ids").array(),
    groupMasks: id("group_masks").array(),
    /** What the fan-out saw: which subscriptions got the batch when it was new. */
    fannedOut: snapshot("fanned_out").notNull(),
  },
  (t) => [index("archived_batches_published").on(t.topicId, t.publishedAt, t.place)],
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
    /** The first message: a time, and where a message was named also the place of its batch, and its bit. */
    startAt: time("start_at").notNull(),
    startPlace: id("start_place")
      .notNull()
      .default(sql`0`),
    startBit: smallint("start_bit").notNull().default(0),
    /** The last message, in the same way. */
    endAt: time("end_at").notNull(),
    endPlace: id("end_place")
      .notNull()
      .default(sql`9223372036854775807`),
    endBit: smallint("end_bit").notNull().default(62),
    /**
     * The transaction that made the subscription, when the replay came with it: what was fanned out seeing it came
     * already.
     */
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
    donePlace: id("done_place"),
    createdAt: time("created_at").notNull().default(fromDatabaseClock),
    finishedAt: time("finished_at"),
  },
  (t) => [
    uniqueIndex("replays_running")
      .on(t.subscriptionId)
      .where(sql`${t.status} = 'running'`),
    index("replays_subscription").on(t.subscriptionId, t.createdAt),
    check("replays_rate", sql`${t.rate} > 0`),
    check("replays_done", sql`(${t.doneAt} IS NULL) = (${t.donePlace} IS NULL)`),
  ],
);

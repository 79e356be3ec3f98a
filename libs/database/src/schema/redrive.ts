import { sql } from "drizzle-orm";
import { check, index, integer, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";

import { account, fromDatabaseClock, id, time } from "./columns.ts";

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
      .$type<"running" | "completed" | "cancelled" | "failed">()
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

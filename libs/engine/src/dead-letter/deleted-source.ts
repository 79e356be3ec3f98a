import { constant } from "@sluice/database";

/**
 * SQL: the `source_queue_id` of what comes with a `failure_reason` as the dead letter of a subscription whose queue was
 * deleted: the id of no queue. So it is known for a dead letter, unlike what a consumer gives back with a reason, which
 * has no source; and a redrive leaves it, as it does whatever else has its queue no more.
 */
export const deletedSource = constant(
  (sql) => sql`CASE WHEN failure_reason IS NOT NULL THEN 0 END`,
);

import { constant } from "@sluice/database";

/** SQL, after `WITH RECURSIVE`: the first waiting batch of each FIFO topic that has any, by one look at each front. */
export const fifoHeads = constant(
  (sql) => sql`heads AS (
      (SELECT topic_id, sent_at FROM outbox WHERE sequence IS NOT NULL ORDER BY topic_id, sequence LIMIT 1)
      UNION ALL
      SELECT next.topic_id, next.sent_at FROM heads h CROSS JOIN LATERAL (
        SELECT o.topic_id, o.sent_at FROM outbox o
        WHERE o.sequence IS NOT NULL AND o.topic_id > h.topic_id ORDER BY o.topic_id, o.sequence LIMIT 1
      ) next
    )`,
);

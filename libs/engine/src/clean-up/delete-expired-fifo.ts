import { numbers, texts, type Sql } from "@sluice/database";

import { lockGroups } from "../message-group/locks.ts";
import { settleGroups } from "../message-group/settle-groups.ts";

/** Messages of FIFO queues past the retention of their queue, up to a chunk; their groups go on with what comes next. */
export async function deleteExpiredFifo(sql: Sql, chunk: number): Promise<number> {
  const found = await sql<{ queue_id: string; group_id: string }[]>`
    SELECT DISTINCT queue_id, group_id FROM (
      SELECT s.queue_id, s.group_id FROM fifo_slices s JOIN queues q ON q.id = s.queue_id
      WHERE s.sent_at <= clock_timestamp() - make_interval(secs => q.retention)
      LIMIT ${chunk}::int) expired`;
  if (found.length === 0) return 0;
  return await sql.begin(async (tx) => {
    const groups = await lockGroups(
      tx,
      found.map((row) => ({ queueId: row.queue_id, groupId: row.group_id })),
    );
    const deleted = await tx`
      DELETE FROM fifo_slices WHERE ctid IN (
        SELECT s.ctid FROM unnest(
          ${numbers(groups.map((group) => group.queueId))}::bigint[], ${texts(groups.map((group) => group.groupId))}::text[]
        ) AS k(queue_id, group_id)
        JOIN fifo_slices s ON s.queue_id = k.queue_id AND s.group_id = k.group_id
        JOIN queues q ON q.id = s.queue_id
        WHERE s.sent_at <= clock_timestamp() - make_interval(secs => q.retention)
        LIMIT ${chunk}::int)`;
    await settleGroups(tx, groups);
    return deleted.count;
  });
}

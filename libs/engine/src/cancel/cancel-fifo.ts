import type { Sql } from "@sluice/database";

import type { MessagePlace } from "../message/message-ids.ts";
import { lockGroups } from "../message-group/locks.ts";
import { settleGroups } from "../message-group/settle-groups.ts";
import { recordEvents } from "../trace/record-events.ts";

/**
 * Takes a message back that is still delayed in a FIFO queue.
 *
 * @param lockTimeout - How long it waits for whoever holds its group; default: as long as a statement may take.
 * @returns Whether it was there to be taken back.
 */
export async function cancelFifo(
  { sql, lockTimeout }: { sql: Sql; lockTimeout: string | undefined },
  queue: { id: string; account: string },
  { batchId, bit }: MessagePlace,
): Promise<boolean> {
  const mask = String(1n << BigInt(bit));
  return await sql.begin(async (tx) => {
    const [at] = await tx<{ group_id: string }[]>`
      SELECT group_id FROM fifo_slices
      WHERE queue_id = ${queue.id}::bigint AND account = ${queue.account}::bigint AND batch_id = ${batchId}::bigint AND delayed
        AND pending & ${mask}::bigint <> 0`;
    if (!at) return false;
    const group = { queueId: queue.id, groupId: at.group_id };
    const groups = await lockGroups(tx, [group], { lockTimeout });
    const cancelled = await tx`
      WITH found AS MATERIALIZED (
        SELECT ctid AS row, account, queue_id, batch_id, sequence, visible_at, ${mask}::bigint AS mask, pending & ~${mask}::bigint AS rest FROM fifo_slices
        WHERE queue_id = ${queue.id}::bigint AND account = ${queue.account}::bigint AND batch_id = ${batchId}::bigint AND delayed
          AND pending & ${mask}::bigint <> 0 AND visible_at > clock_timestamp()
      ), emptied AS (
        DELETE FROM fifo_slices s USING found f WHERE f.rest = 0 AND s.ctid = f.row
      ), reduced AS (
        UPDATE fifo_slices s SET pending = f.rest FROM found f WHERE f.rest <> 0 AND s.ctid = f.row
      ), ledger AS (
        INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
        SELECT ${queue.account}::bigint, ${queue.id}::bigint, 'cancelled', 1, NULL FROM found
        UNION ALL
        SELECT ${queue.account}::bigint, ${queue.id}::bigint, 'delayed', -1, date_trunc('minute', visible_at) FROM found
      ), events AS (
        ${recordEvents(tx, "cancelled", tx`found`, ["sequence"])}
      )
      SELECT FROM found`;
    await settleGroups(tx, groups);
    return cancelled.length > 0;
  });
}

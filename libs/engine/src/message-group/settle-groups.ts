import { numbers, texts, type Transaction } from "@sluice/database";

import { fromHead } from "./from-head.ts";
import { groupRow } from "./group-row.ts";
import type { GroupKey } from "./locks.ts";

/**
 * Works out anew, after their messages were changed, when locked groups may be handed out: at the latest deadline of
 * what is in flight, else as soon as the first message is visible. A group without messages goes.
 *
 * A group whose first message has been visible for long is waiting since now, when it was not before, and since when it
 * was otherwise. So none comes to wait at a time that has passed, where claims no longer look (see ScanFloor), and
 * groups take turns.
 *
 * What was received stands before what was not, so the look for what is in flight ends at `received_upto`, and no scan
 * begins before the head, where the rows of acknowledged messages lie dead. It ends by a LIMIT: where only a comparison
 * of rows says that it is to, Postgres 18 reads on to the end of the group (of 300,000 messages 130 ms for each
 * acknowledgement).
 *
 * @returns The queues of groups that may be handed out now: whoever waits for them should hear of it.
 */
export async function settleGroups(
  tx: Transaction,
  groups: readonly GroupKey[],
): Promise<string[]> {
  if (groups.length === 0) return [];
  const rows = await tx<{ queue_id: string }[]>`
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    state AS MATERIALIZED (
      SELECT g.row, g.queue_id, head.sequence,
             coalesce(held.until, greatest(head.visible_at, least(g.available_at, (SELECT now FROM clock)))) AS available_at
      FROM unnest(
        ${numbers(groups.map((group) => group.queueId))}::bigint[],
        ${texts(groups.map((group) => group.groupId))}::text[]
      ) AS k(queue_id, group_id)
      ${groupRow(tx)}
      LEFT JOIN LATERAL (
        SELECT s.sequence, s.visible_at FROM fifo_slices s
        WHERE ${fromHead(tx)}
        ORDER BY s.queue_id, s.group_id, s.sequence, s.pending & -s.pending LIMIT 1
      ) head ON true
      LEFT JOIN LATERAL (
        SELECT f.until FROM (
          SELECT s.sequence, lead(s.sequence) OVER inorder IS NULL AS is_last,
                 max(s.visible_at) FILTER (WHERE s.receive_count > 0 AND s.visible_at > (SELECT now FROM clock)) OVER inorder AS until
          FROM fifo_slices s WHERE ${fromHead(tx)}
          WINDOW inorder AS (ORDER BY s.queue_id, s.group_id, s.sequence ROWS UNBOUNDED PRECEDING)
        ) f WHERE f.sequence > g.received_upto OR f.is_last LIMIT 1
      ) held ON true
    ), gone AS (
      DELETE FROM fifo_groups g USING state
      WHERE state.sequence IS NULL AND g.ctid = state.row
    ), kept AS (
      UPDATE fifo_groups g SET available_at = state.available_at, head_sequence = state.sequence
      FROM state
      WHERE state.sequence IS NOT NULL AND g.ctid = state.row
        AND (g.available_at, g.head_sequence) IS DISTINCT FROM (state.available_at, state.sequence)
    )
    SELECT DISTINCT queue_id FROM state WHERE available_at <= (SELECT now FROM clock)`;
  return rows.map((row) => row.queue_id);
}

import { numbers, type Sql, type Transaction } from "@sluice/database";

import { lockGroupsAt, type FifoPlace } from "../message-group/locks.ts";
import { slicesAt } from "../message-group/slices-at.ts";
import { settleGroups } from "../message-group/settle-groups.ts";
import type { SliceMark } from "../receipt-handle/slice-marks.ts";
import { recordEvents } from "../trace/record-events.ts";

/** Where a mark's handle says that its messages are. */
export function placeOfMark({ queueId, visibleAt }: SliceMark): FifoPlace {
  return { queueId, sequence: String(visibleAt) };
}

/**
 * Deletes messages of FIFO queues that their receives still hold, and lets their groups go on: what comes next in a
 * group may be handed out as soon as nothing of it is in flight.
 *
 * @returns The bits done for each mark, and the queues that have something to hand out now.
 */
export async function acknowledgeFifo(
  sql: Sql,
  marks: readonly SliceMark[],
  lockTimeout?: string,
): Promise<{ done: bigint[]; available: string[] }> {
  const { rows, available } = await sql.begin(async (tx) => {
    const groups = await lockGroupsAt(tx, marks.map(placeOfMark), lockTimeout);
    if (groups.length === 0) return { rows: [], available: [] };
    // Sent together, run one after the other.
    const [deleted, settled] = await Promise.all([deleteHeld(tx, marks), settleGroups(tx, groups)]);
    return { rows: deleted, available: settled };
  });
  const done = marks.map(() => 0n);
  for (const row of rows) done[row.position - 1] = BigInt(row.done);
  return { done, available };
}

async function deleteHeld(
  tx: Transaction,
  marks: readonly SliceMark[],
): Promise<{ position: number; done: string }[]> {
  return await tx`
    WITH found AS MATERIALIZED (
      SELECT m.position, s.row, s.account, s.queue_id, s.batch_id, s.sequence, s.pending & m.mask AS done, s.pending & ~m.mask AS rest
      FROM unnest(
        ${numbers(marks.map((mark) => mark.queueId))}::bigint[],
        ${numbers(marks.map((mark) => mark.visibleAt))}::bigint[],
        ${numbers(marks.map((mark) => mark.batchId))}::bigint[],
        ${numbers(marks.map((mark) => mark.lease))}::bigint[],
        ${numbers(marks.map((mark) => mark.mask))}::bigint[]
      ) WITH ORDINALITY AS m(queue_id, sequence, batch_id, lease, mask, position) ${slicesAt(tx)}
      WHERE s.batch_id = m.batch_id AND s.lease = m.lease AND s.pending & m.mask <> 0
    ), emptied AS (
      DELETE FROM fifo_slices s USING found f WHERE f.rest = 0 AND s.ctid = f.row
    ), reduced AS (
      UPDATE fifo_slices s SET pending = f.rest FROM found f WHERE f.rest <> 0 AND s.ctid = f.row
    ), ledger AS (
      -- The groups are locked: what was found is what is deleted.
      INSERT INTO queue_ledger (account, queue_id, kind, messages)
      SELECT account, queue_id, 'acknowledged', sum(bit_count(done::bit(64))) FROM found GROUP BY account, queue_id
    ), events AS (
      ${recordEvents(tx, "acknowledged", tx`(SELECT account, queue_id, batch_id, sequence, done AS mask FROM found)`, ["sequence"])}
    )
    SELECT position::int, bit_or(done) AS done FROM found GROUP BY position`;
}

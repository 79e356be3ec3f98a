import { sendNothingBehind, type Sql } from "@sluice/database";

import { placeOf, type MessagePlace } from "../message/message-ids.ts";
import type { Payloads } from "../receive/payloads.ts";
import { recordEvents } from "../trace/record-events.ts";
import type { LockWaits } from "../write/lock-waits.ts";
import { cancelFifo } from "./cancel-fifo.ts";

/**
 * Takes a message back that is still delayed: it was never received, and never will be.
 *
 * @returns Whether it was there to be taken back.
 */
export async function cancelDelayed(
  { sql, waits, payloads }: { sql: Sql; waits: LockWaits; payloads: Payloads },
  queue: { id: string; account: string; fifo: boolean },
  messageId: string,
): Promise<boolean> {
  const place = placeOf(messageId);
  if (!place) return false;
  const lines = (await payloads.get([place.batchId])).get(place.batchId);
  // The place alone can be made up; the id cannot.
  if (!lines?.[place.bit]?.startsWith(`"messageId":"${messageId}"`)) return false;
  if (queue.fifo)
    return await waits.run((lockTimeout) => cancelFifo({ sql, lockTimeout }, queue, place));
  const bit = String(1n << BigInt(place.bit));
  // Each try that finds the row changed under its hands is followed by one that sees the change. That ends: a slice
  // that waits loses a message with each.
  for (;;) {
    const found = await waits.run((lockTimeout) =>
      takeOut({ sql, lockTimeout }, queue, { place, bit }),
    );
    if (!found) return false;
    if (found.applied) return true;
  }
}

async function takeOut(
  { sql, lockTimeout }: { sql: Sql; lockTimeout: string | undefined },
  queue: { id: string; account: string },
  { place, bit }: { place: MessagePlace; bit: string },
): Promise<{ applied: boolean } | undefined> {
  const query = sql<{ applied: boolean }[]>`
      WITH found AS MATERIALIZED (
        SELECT ctid AS row, visible_at, pending & ~${bit}::bigint AS rest FROM slices
        WHERE queue_id = ${queue.id}::bigint AND account = ${queue.account}::bigint
          AND batch_id = ${place.batchId}::bigint AND moved AND pending & ${bit}::bigint <> 0
          AND lease = 0 AND visible_at > clock_timestamp()
          ${lockTimeout === undefined ? sql`` : sql`AND (SELECT set_config('lock_timeout', ${lockTimeout}, true)) IS NOT NULL`}
      ), emptied AS (
        DELETE FROM slices s USING found f
        WHERE f.rest = 0 AND s.ctid = f.row AND s.lease = 0 AND s.pending = ${bit}::bigint
        RETURNING f.row, f.visible_at
      ), reduced AS (
        UPDATE slices s SET pending = s.pending & ~${bit}::bigint FROM found f
        WHERE f.rest <> 0 AND s.ctid = f.row AND s.lease = 0 AND s.pending & ${bit}::bigint <> 0 AND s.pending & ~${bit}::bigint <> 0
        RETURNING f.row, f.visible_at
      ), applied AS (
        SELECT * FROM emptied UNION ALL SELECT * FROM reduced
      ), ledger AS (
        INSERT INTO queue_ledger (account, queue_id, kind, messages, due_at)
        SELECT ${queue.account}::bigint, ${queue.id}::bigint, 'cancelled', 1, NULL FROM applied
        UNION ALL
        SELECT ${queue.account}::bigint, ${queue.id}::bigint, 'delayed', -1, date_trunc('minute', visible_at) FROM applied
      ), events AS (
        ${recordEvents(sql, "cancelled", cancelled(sql, { queue, place, bit }))}
      )
      SELECT row IN (SELECT row FROM applied) AS applied FROM found`;
  if (lockTimeout === undefined) sendNothingBehind(query);
  const [found] = await query;
  return found;
}

function cancelled(
  sql: Sql,
  {
    queue,
    place,
    bit,
  }: { queue: { id: string; account: string }; place: MessagePlace; bit: string },
) {
  return sql`(
          SELECT ${queue.account}::bigint AS account, ${queue.id}::bigint AS queue_id, ${place.batchId}::bigint AS batch_id,
                 ${bit}::bigint AS mask FROM applied)`;
}

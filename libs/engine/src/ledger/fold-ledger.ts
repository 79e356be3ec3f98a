import { isLockNotAvailable, type Sql } from "@sluice/database";

/**
 * What a slot waits at most for the statements that still write to it, and they for it: else it is folded next time.
 */
const LOCK_TIMEOUT = "200ms";

/**
 * Adds what has gathered in the ledger to the totals of its queues and empties it, slot by slot.
 *
 * - The lock waits for every statement that wrote to the slot, and what it wrote is read after that: no row is lost or
 *   counted twice, even when a slot's turn has come again before it was folded; it just holds more rows then.
 * - The slot of this moment and the one before are left alone, so that nobody waits for the lock in the normal case.
 * - Rows and totals change in one transaction. Whoever counts locks the slots before its snapshot is taken, and so sees
 *   both of before or both of after (a snapshot from before the TRUNCATE would see neither row nor total).
 * - Rows of queues that were deleted since have nothing to be added to.
 *
 * @returns Slots that were folded.
 */
export async function foldLedger(sql: Sql): Promise<number> {
  const rows = await sql<{ slot: number }[]>`
    WITH clock AS MATERIALIZED (SELECT floor(extract(epoch FROM clock_timestamp()) / 5)::bigint AS step)
    SELECT closed.slot::int FROM clock, LATERAL (VALUES ((step + 1) % 4), ((step + 2) % 4)) closed(slot)
    WHERE EXISTS (SELECT FROM queue_ledger l WHERE l.slot = closed.slot)`;
  let folded = 0;
  for (const { slot } of rows) {
    if (await foldSlot(sql, slot)) folded += 1;
  }
  return folded;
}

async function foldSlot(sql: Sql, slot: number): Promise<boolean> {
  try {
    await sql.begin(async (tx) => {
      const table = tx(`queue_ledger_${slot}`);
      await tx`SELECT set_config('lock_timeout', ${LOCK_TIMEOUT}, true)`;
      await tx`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`;
      await tx`
        INSERT INTO queue_totals AS t (queue_id, kind, account, messages)
        SELECT q.id, l.kind, q.account, l.messages
        FROM (SELECT queue_id, kind, sum(messages) AS messages FROM ${table} WHERE due_at IS NULL GROUP BY queue_id, kind) l
        JOIN queues q ON q.id = l.queue_id
        ORDER BY q.id, l.kind
        FOR KEY SHARE OF q
        ON CONFLICT (queue_id, kind) DO UPDATE SET messages = t.messages + excluded.messages`;
      await tx`
        INSERT INTO queue_delays AS d (queue_id, due_at, account, messages)
        SELECT q.id, l.due_at, q.account, l.messages
        FROM (SELECT queue_id, due_at, sum(messages) AS messages FROM ${table}
              WHERE due_at >= date_trunc('minute', clock_timestamp()) GROUP BY queue_id, due_at) l
        JOIN queues q ON q.id = l.queue_id
        ORDER BY q.id, l.due_at
        FOR KEY SHARE OF q
        ON CONFLICT (queue_id, due_at) DO UPDATE SET messages = d.messages + excluded.messages`;
      await tx`DELETE FROM queue_delays WHERE due_at < date_trunc('minute', clock_timestamp())`;
      await tx`TRUNCATE ${table}`;
    });
    return true;
  } catch (error) {
    if (isLockNotAvailable(error)) return false;
    throw error;
  }
}

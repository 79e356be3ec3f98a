import type { Sql } from "@sluice/database";

/** What a slot waits at most for a trace that reads it: else it is emptied next time. */
const LOCK_TIMEOUT = "200ms";
/** Of `message_events`, in 0003_storage.sql: hours that a slot takes rows for, and how many there are. */
const SLOT_HOURS = 4;
const SLOTS = 14;
/** Longer than this a slot would still have rows of the record when its turn comes again. */
export const MAX_TRACE_HOURS = (SLOTS - 2) * SLOT_HOURS;

/**
 * Empties the slots of the record whose rows are all older than it goes, whole: no row is ever deleted by itself. Without a
 * record (`hours` 0) that is all of them, so that one which begins again does not look as if it had never ended.
 *
 * @returns Slots that were emptied.
 */
export async function rotateEvents(sql: Sql, hours: number): Promise<number> {
  const kept = hours === 0 ? 0 : Math.ceil(hours / SLOT_HOURS) + 1;
  const rows = await sql<{ slot: number }[]>`
    SELECT past.slot FROM (
      SELECT ((floor(extract(epoch FROM clock_timestamp()) / ${SLOT_HOURS * 3_600}::int)::bigint - age + ${SLOTS}::int) % ${SLOTS}::int)::int AS slot
      -- The last one is the next to be written.
      FROM generate_series(${kept}::int, ${SLOTS - 1}::int) age
    ) past
    WHERE EXISTS (SELECT FROM message_events e WHERE e.slot = past.slot)`;
  let emptied = 0;
  for (const { slot } of rows) if (await empty(sql, slot)) emptied += 1;
  return emptied;
}

const LOCK_NOT_AVAILABLE = "55P03";

async function empty(sql: Sql, slot: number): Promise<boolean> {
  try {
    await sql.begin(async (tx) => {
      await tx`SELECT set_config('lock_timeout', ${LOCK_TIMEOUT}, true)`;
      await tx`TRUNCATE ${tx(`message_events_${slot}`)}`;
    });
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code === LOCK_NOT_AVAILABLE) return false;
    throw error;
  }
}

import { isLockNotAvailable, type Sql } from "@sluice/database";

/** What a slot waits at most for a trace that reads it: else it is emptied next time. */
const LOCK_TIMEOUT = "200ms";
const HOUR = 3_600;
/**
 * Of `message_events`, in 0003_storage.sql: seconds that a slot takes rows for, and how many there are. The longest
 * record (48 hours: TRACE_HOURS) leaves a whole turn for emptying a slot before it is written again.
 */
const SLOT = 4 * HOUR;
const SLOTS = 14;

/**
 * Empties the slots of the record whose rows are all older than it goes, whole: no row is ever deleted by itself.
 * Without a record (`hours` 0) that is all of them, so that one which begins again does not look as if it had never
 * ended.
 *
 * @returns Slots that were emptied.
 */
export async function rotateEvents(sql: Sql, hours: number): Promise<number> {
  const rows = await sql<{ slot: number }[]>`
    SELECT ((step - age + ${SLOTS}::int) % ${SLOTS}::int)::int AS slot
    FROM (SELECT extract(epoch FROM clock_timestamp())::float8 AS now) clock
    CROSS JOIN LATERAL (SELECT floor(now / ${SLOT}::int)::bigint AS step) current
    CROSS JOIN generate_series(0, ${SLOTS - 1}::int) age
    WHERE (now - (step - age + 1) * ${SLOT}::int >= ${hours * HOUR}::int OR ${hours}::int = 0)
      AND EXISTS (SELECT FROM message_events e WHERE e.slot = (step - age + ${SLOTS}::int) % ${SLOTS}::int)`;
  let emptied = 0;
  for (const { slot } of rows) if (await empty(sql, slot)) emptied += 1;
  return emptied;
}

async function empty(sql: Sql, slot: number): Promise<boolean> {
  try {
    await sql.begin(async (tx) => {
      await tx`SELECT set_config('lock_timeout', ${LOCK_TIMEOUT}, true)`;
      await tx`TRUNCATE ${tx(`message_events_${slot}`)}`;
    });
    return true;
  } catch (error) {
    if (isLockNotAvailable(error)) return false;
    throw error;
  }
}

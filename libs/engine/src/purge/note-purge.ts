import { schema, type ControlPlane } from "@sluice/database";
import { and, eq, sql } from "drizzle-orm";

const { queues } = schema;

/** Notes that the queue is being purged, and gives since when; undefined when it was in the last so many seconds. */
export async function notePurge(
  db: ControlPlane,
  queue: { id: string },
  guard: number,
): Promise<string | undefined> {
  const [noted] = await db
    .update(queues)
    .set({ purgedAt: sql`clock_timestamp()` })
    .where(
      and(
        eq(queues.id, BigInt(queue.id)),
        // A purge that the clock has yet to come to was noted by one that was ahead.
        sql`coalesce(${queues.purgedAt} NOT BETWEEN clock_timestamp() - make_interval(secs => ${guard}) AND clock_timestamp(), true)`,
      ),
    )
    .returning({ at: sql<string>`${queues.purgedAt}::text` });
  return noted?.at;
}

import type { Sql } from "postgres";
import type { Anomaly } from "./check/anomaly.ts";

/** How much rests, and where, as the database has it. */
export interface Rest {
  slices: number;
  outbox: number;
}

/** Of one kind so many are told: of a batch that is fanned out again and again each pair of slices is one. */
const MOST = 1_000;

/** Slices and batches that are still to be delivered, without those of the probe. */
export async function countRest(sql: Sql): Promise<Rest> {
  const [row] = await sql<Rest[]>`
    SELECT (SELECT count(*)::int FROM slices s JOIN queues q ON q.id = s.queue_id WHERE q.name NOT LIKE 'probe-%')
             + (SELECT count(*)::int FROM fifo_slices) AS slices,
           (SELECT count(*)::int FROM outbox) AS outbox`;
  return row ?? { slices: 0, outbox: 0 };
}

/** What no client can see: I-2 and I-3 in the rows themselves, when everything has come to rest. */
export async function audit(sql: Sql): Promise<Anomaly[]> {
  const found: Anomaly[] = [];
  const orphans = await sql<{ queue: string; batch: string }[]>`
    SELECT coalesce(q.name, s.queue_id::text) AS queue, s.batch_id::text AS batch
    FROM (SELECT queue_id, batch_id, pending FROM slices
          UNION ALL SELECT queue_id, batch_id, pending FROM fifo_slices) s
    LEFT JOIN batches b ON b.id = s.batch_id
    LEFT JOIN queues q ON q.id = s.queue_id
    WHERE b.id IS NULL OR s.pending >> b.message_count <> 0
       OR (q.id IS NULL AND NOT EXISTS (SELECT FROM deleted_queues d WHERE d.queue_id = s.queue_id))
    LIMIT ${MOST}::int`;
  for (const { queue, batch } of orphans)
    found.push({ name: "orphan", what: `${batch} in ${queue}` });

  const overlaps = await sql<{ queue: string; batch: string }[]>`
    SELECT a.queue_id::text AS queue, a.batch_id::text AS batch
    FROM slices a JOIN slices b ON a.queue_id = b.queue_id AND a.batch_id = b.batch_id
      AND a.ctid < b.ctid AND a.pending & b.pending <> 0
    LIMIT ${MOST}::int`;
  for (const { queue, batch } of overlaps)
    found.push({ name: "overlap", what: `${batch} in queue ${queue}` });

  const waiting = await sql<{ id: string }[]>`SELECT batch_id::text AS id FROM outbox LIMIT 10`;
  for (const { id } of waiting) found.push({ name: "not-fanned-out", what: `batch ${id}` });
  return found;
}

/** What the API counts in each queue against the rows. */
export async function auditCounts(
  sql: Sql,
  countOf: (queue: string) => Promise<number>,
): Promise<Anomaly[]> {
  const rows = await sql<{ name: string; resting: number }[]>`
    SELECT q.name, coalesce(sum(bit_count(s.pending::bit(64))), 0)::int AS resting
    FROM queues q LEFT JOIN (SELECT queue_id, pending FROM slices
                             UNION ALL SELECT queue_id, pending FROM fifo_slices) s ON s.queue_id = q.id
    WHERE q.name NOT LIKE 'probe-%' GROUP BY q.name`;
  const found: Anomaly[] = [];
  for (const { name, resting } of rows) {
    const counted = await countOf(name);
    if (counted !== resting)
      found.push({ name: "counts", what: `${name}: ${counted}, not ${resting}` });
  }
  return found;
}

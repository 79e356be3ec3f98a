import { numbers, type Sql } from "@sluice/database";

/** Seconds. Younger batches are mostly gone soon, whole; older than any repeat of a call with its key. */
const COMPACTED_AFTER = 900;
/** Bytes of a payload that are worth a rewrite: it gives back at least half of them. */
const WORTH = 4_096;
/** Batches found by one look at all slices, and rewritten by one statement. */
const FOUND = 10_000;
const REWRITTEN = 200;

/**
 * Rewrites batches that a few messages keep alive (one in a dead-letter queue, say, for 14 days): the lines of the
 * others become empty. The number of lines stays, so that bits mean what they meant.
 *
 * No message can be missed, whatever happens meanwhile: the bits that are alive are those of all slices of the batch in
 * one snapshot, and slices only ever come from slices of the same batch, so later on there are fewer. The one thing
 * that makes slices out of nothing is the fan-out, in the transaction that takes the batch out of the outbox: the
 * snapshot has the one or the other, and what waits there is left alone. So is what an archive keeps: a replay may make
 * slices of it, and holds the archive's row until they are there. For the same reason the lines that a process
 * remembers stay right, those of before and those of after.
 *
 * @returns How many batches were rewritten.
 */
export async function compactBatches(sql: Sql, signal?: AbortSignal): Promise<number> {
  let compacted = 0;
  for (;;) {
    const found = await findCompactable(sql);
    for (let start = 0; start < found.length; start += REWRITTEN) {
      if (signal?.aborted) return compacted;
      compacted += await rewrite(sql, found.slice(start, start + REWRITTEN));
    }
    if (found.length < FOUND) return compacted;
  }
}

interface Compactable {
  id: string;
  alive: string;
}

async function findCompactable(sql: Sql): Promise<Compactable[]> {
  return await sql<Compactable[]>`
    WITH alive AS (
      SELECT batch_id, bit_or(pending) AS bits FROM (
        SELECT batch_id, pending FROM slices UNION ALL SELECT batch_id, pending FROM fifo_slices
      ) s GROUP BY batch_id
    )
    SELECT b.id, alive.bits AS alive FROM alive JOIN batches b ON b.id = alive.batch_id
    WHERE b.sent_at < (SELECT clock_timestamp() - make_interval(secs => ${COMPACTED_AFTER}::int))
      AND octet_length(b.payload) >= ${WORTH}::int
      AND bit_count(alive.bits::bit(64)) * 2 < least(bit_count(b.kept::bit(64)), b.message_count)
      AND NOT EXISTS (SELECT FROM outbox o WHERE o.batch_id = b.id)
      AND NOT EXISTS (SELECT FROM archived_batches a WHERE a.batch_id = b.id)
    LIMIT ${FOUND}::int`;
}

async function rewrite(sql: Sql, batches: readonly Compactable[]): Promise<number> {
  const result = await sql`
    UPDATE batches b
    SET kept = b.kept & w.alive,
        payload = (SELECT string_agg(CASE WHEN w.alive >> (line.number - 1)::int & 1 = 1 THEN line.text ELSE '' END, E'\n' ORDER BY line.number)
                   FROM string_to_table(b.payload, E'\n') WITH ORDINALITY AS line(text, number))
    FROM unnest(
      ${numbers(batches.map(({ id }) => id))}::bigint[], ${numbers(batches.map(({ alive }) => alive))}::bigint[]
    ) AS w(id, alive)
    WHERE b.id = w.id`;
  return result.count;
}

import type { Sql } from "@sluice/database";

export interface CleanUpResult {
  expiredSlices: number;
  deletedQueueSlices: number;
  payloads: number;
  idempotencyKeys: number;
  redriveTasks: number;
  filterPolicies: number;
}

/** What a repeat of a call with an Idempotency-Key can rely on, in seconds. */
export const IDEMPOTENCY_WINDOW = 600;
/** How long an ended redrive can be looked at, in seconds: as long as a message can be kept. */
const REDRIVE_KEPT = 1_209_600;
/** A write that was under way when its queue was deleted has long ended by then. */
const DELETED_QUEUE_GRACE = 3_600;
/** A batch younger than this may belong to a statement that has not committed its slices, or to a receive that reads it. */
const PAYLOAD_GRACE = 60;
/** Policies younger than this may be about to be given to a subscription. */
const FILTER_POLICY_GRACE = 3_600;
const CHUNK = 10_000;
const CLEAN_UP_LOCK = 7_583_402_002;

/**
 * Removes what nobody can reach any more: expired messages, slices of deleted queues, payloads without slices, old
 * idempotency keys, redrives that ended long ago and unused filter policies. One dispatcher at a time; undefined when another one is at it.
 *
 * Each step deletes at most a chunk and repeats while chunks are full, so no statement holds locks for long.
 */
export async function cleanUp(sql: Sql): Promise<CleanUpResult | undefined> {
  const [lock] = await sql<
    { mine: boolean }[]
  >`SELECT pg_try_advisory_lock(${CLEAN_UP_LOCK}::bigint) AS mine`;
  if (!lock?.mine) return undefined;
  try {
    return {
      expiredSlices: await inChunks(() => deleteExpired(sql)),
      deletedQueueSlices: await deleteOfDeletedQueues(sql),
      payloads: await inChunks(() => deletePayloads(sql)),
      idempotencyKeys: await inChunks(() => deleteIdempotencyKeys(sql)),
      redriveTasks: await inChunks(() => deleteRedriveTasks(sql)),
      filterPolicies: await inChunks(() => deleteFilterPolicies(sql)),
    };
  } finally {
    await sql`SELECT pg_advisory_unlock(${CLEAN_UP_LOCK}::bigint)`;
  }
}

async function inChunks(deleteChunk: () => Promise<number>): Promise<number> {
  let total = 0;
  for (;;) {
    const count = await deleteChunk();
    total += count;
    if (count < CHUNK) return total;
  }
}

/** Messages past the retention of their queue, counted from when they were first sent. */
async function deleteExpired(sql: Sql): Promise<number> {
  const result = await sql`
    DELETE FROM slices WHERE ctid IN (
      SELECT s.ctid FROM slices s JOIN queues q ON q.id = s.queue_id
      WHERE s.sent_at <= clock_timestamp() - make_interval(secs => q.retention)
      LIMIT ${CHUNK}::int FOR UPDATE OF s SKIP LOCKED)`;
  return result.count;
}

async function deleteOfDeletedQueues(sql: Sql): Promise<number> {
  const total = await inChunks(async () => {
    const result = await sql`
      DELETE FROM slices WHERE ctid IN (
        SELECT s.ctid FROM deleted_queues d JOIN slices s ON s.queue_id = d.queue_id
        LIMIT ${CHUNK}::int FOR UPDATE OF s SKIP LOCKED)`;
    return result.count;
  });
  await sql`DELETE FROM deleted_queues WHERE deleted_at < clock_timestamp() - make_interval(secs => ${DELETED_QUEUE_GRACE}::int)`;
  return total;
}

/**
 * Payloads that no slice and no waiting fan-out refers to. One anti-join over what is stored now, instead of a counter on
 * each batch that ten queues would update at once, or an index that each delivery would pay for.
 */
async function deletePayloads(sql: Sql): Promise<number> {
  const result = await sql`
    DELETE FROM batches WHERE id IN (
      SELECT b.id FROM batches b
      WHERE b.sent_at < clock_timestamp() - make_interval(secs => ${PAYLOAD_GRACE}::int)
        AND NOT EXISTS (SELECT FROM slices s WHERE s.batch_id = b.id)
        AND NOT EXISTS (SELECT FROM outbox o WHERE o.batch_id = b.id)
      LIMIT ${CHUNK}::int)`;
  return result.count;
}

async function deleteIdempotencyKeys(sql: Sql): Promise<number> {
  const result = await sql`
    DELETE FROM idempotency_keys WHERE ctid IN (
      SELECT ctid FROM idempotency_keys
      WHERE created_at < clock_timestamp() - make_interval(secs => ${IDEMPOTENCY_WINDOW}::int)
      LIMIT ${CHUNK}::int)`;
  return result.count;
}

async function deleteRedriveTasks(sql: Sql): Promise<number> {
  const result = await sql`
    DELETE FROM redrive_tasks WHERE id IN (
      SELECT id FROM redrive_tasks
      WHERE finished_at < clock_timestamp() - make_interval(secs => ${REDRIVE_KEPT}::int)
      LIMIT ${CHUNK}::int)`;
  return result.count;
}

/** Filter policies that no subscription has any more. Whoever is just taking one up again is refused by its key, and adds it anew. */
async function deleteFilterPolicies(sql: Sql): Promise<number> {
  const result = await sql`
    DELETE FROM filter_policies WHERE id IN (
      SELECT f.id FROM filter_policies f
      WHERE f.created_at < clock_timestamp() - make_interval(secs => ${FILTER_POLICY_GRACE}::int)
        AND NOT EXISTS (SELECT FROM subscriptions s WHERE s.filter_id = f.id)
      LIMIT ${CHUNK}::int FOR UPDATE SKIP LOCKED)`;
  return result.count;
}

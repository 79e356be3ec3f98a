import type { Sql } from "@sluice/database";

import { ATTEMPT_INTERVAL } from "../receive/repeat-attempt.ts";
import { DEDUPLICATION_INTERVAL } from "../send/insert-fifo.ts";
import { deleteExpiredFifo } from "./delete-expired-fifo.ts";
import { ChunkSize } from "./chunks.ts";
import { compactBatches } from "./compact-batches.ts";
import { deleteArchived } from "./delete-archived.ts";
import { deleteExpired, deleteExpiredAnywhere } from "./delete-expired.ts";
import { deletePayloads } from "./delete-payloads.ts";

export interface CleanUpResult {
  expiredSlices: number;
  expiredMessages: number;
  deletedQueueSlices: number;
  payloads: number;
  compactedBatches: number;
  idempotencyKeys: number;
  deduplicationIds: number;
  receiveAttempts: number;
  redriveTasks: number;
  filterPolicies: number;
  archivedBatches: number;
  replays: number;
}

export interface CleanUpOptions {
  /** Also what takes reading whole tables. Default true. */
  thorough?: boolean;
  /** Among that, payloads that nobody refers to. Default true. */
  payloads?: boolean;
  /** Ends it after the statement that runs. */
  signal?: AbortSignal;
  /** How much goes at once; keep one for many runs, since it learns. */
  chunks?: { payloads: ChunkSize };
}

/**
 * What a repeat of a call with an Idempotency-Key can rely on, in seconds: what a deduplication id has (LIMITS: topics). A
 * million calls in this time are 230 MB.
 */
export const IDEMPOTENCY_WINDOW = 300;
/** How long an ended redrive or replay can be looked at, in seconds: as long as a message can be kept. */
const REDRIVE_KEPT = 1_209_600;
/** A write that was under way when its queue was deleted has long ended by then. */
const DELETED_QUEUE_GRACE = 3_600;
/** Policies younger than this may be about to be given to a subscription. */
const FILTER_POLICY_GRACE = 3_600;
const CHUNK = 10_000;
const CLEAN_UP_LOCK = 7_583_402_002;

/** For the statements whose size is worth learning; see {@link CleanUpOptions}. */
export function cleanUpChunks(): Required<CleanUpOptions>["chunks"] {
  return { payloads: new ChunkSize({ min: CHUNK, max: 320_000 }) };
}

/**
 * Removes what nobody can reach any more: expired messages, slices of deleted queues, payloads without slices (and, of
 * payloads with few, the lines of the others), old idempotency keys, archives past their days, redrives and replays that ended long ago, and unused filter
 * policies. One dispatcher at a time; undefined when another one is at it.
 *
 * Each step removes at most a chunk and repeats while chunks are full, so no statement holds locks for long, and one that
 * dies leaves what was done before it.
 */
export async function cleanUp(
  sql: Sql,
  { thorough = true, payloads = true, signal, chunks = cleanUpChunks() }: CleanUpOptions = {},
): Promise<CleanUpResult | undefined> {
  const [lock] = await sql<
    { mine: boolean }[]
  >`SELECT pg_try_advisory_lock(${CLEAN_UP_LOCK}::bigint) AS mine`;
  if (!lock?.mine) return undefined;
  const inChunks = (deleteChunk: () => Promise<number>) =>
    new ChunkSize({ min: CHUNK, max: CHUNK }).removeAll(deleteChunk, signal);
  const expired = { slices: 0, messages: 0 };
  const expire = (deleteChunk: typeof deleteExpired) =>
    inChunks(async () => {
      const chunk = await deleteChunk(sql, CHUNK);
      expired.slices += chunk.slices;
      expired.messages += chunk.messages;
      return chunk.slices;
    });
  try {
    await expire(deleteExpired);
    await expire(deleteExpiredFifo);
    const deletedQueueSlices = await inChunks(() => deleteOfDeletedQueues(sql));
    for (const table of OF_FIFO_QUEUES) await inChunks(() => deleteOfDeletedFifoQueues(sql, table));
    const idempotencyKeys = await inChunks(() => deleteIdempotencyKeys(sql));
    const deduplicationIds =
      (await inChunks(() => deleteDeduplicationIds(sql, "deduplication_ids"))) +
      (await inChunks(() => deleteDeduplicationIds(sql, "topic_deduplication_ids")));
    const receiveAttempts = await inChunks(() => deleteReceiveAttempts(sql));
    const redriveTasks = await inChunks(() => deleteRedriveTasks(sql));
    const filterPolicies = await inChunks(() => deleteFilterPolicies(sql));
    const replays = await inChunks(() => deleteReplays(sql));
    const archivedBatches = await inChunks(() => deleteArchived(sql, CHUNK));
    await forgetDeletedQueues(sql);
    if (thorough) await expire(deleteExpiredAnywhere);
    return {
      expiredSlices: expired.slices,
      expiredMessages: expired.messages,
      deletedQueueSlices,
      idempotencyKeys,
      deduplicationIds,
      receiveAttempts,
      redriveTasks,
      filterPolicies,
      archivedBatches,
      replays,
      payloads: thorough && payloads ? await deletePayloads(sql, chunks.payloads, signal) : 0,
      compactedBatches: thorough && payloads ? await compactBatches(sql, signal) : 0,
    };
  } finally {
    await sql`SELECT pg_advisory_unlock(${CLEAN_UP_LOCK}::bigint)`;
  }
}

async function deleteOfDeletedQueues(sql: Sql): Promise<number> {
  const result = await sql`
    DELETE FROM slices WHERE ctid = ANY(ARRAY(
      SELECT s.ctid FROM deleted_queues d JOIN slices s ON s.queue_id = d.queue_id
      LIMIT ${CHUNK}::int FOR UPDATE OF s SKIP LOCKED))`;
  return result.count;
}

/** What else belonged to queues that are gone. */
const OF_FIFO_QUEUES = ["fifo_slices", "fifo_groups", "deduplication_ids", "receive_attempts"];

async function deleteOfDeletedFifoQueues(sql: Sql, table: string): Promise<number> {
  const result = await sql`
    DELETE FROM ${sql(table)} WHERE ctid = ANY(ARRAY(
      SELECT t.ctid FROM deleted_queues d JOIN ${sql(table)} t ON t.queue_id = d.queue_id
      LIMIT ${CHUNK}::int FOR UPDATE OF t SKIP LOCKED))`;
  return result.count;
}

async function forgetDeletedQueues(sql: Sql): Promise<void> {
  await sql`DELETE FROM deleted_queues WHERE deleted_at < clock_timestamp() - make_interval(secs => ${DELETED_QUEUE_GRACE}::int)`;
}

async function deleteIdempotencyKeys(sql: Sql): Promise<number> {
  const result = await sql`
    DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM idempotency_keys
      WHERE created_at < (SELECT clock_timestamp() - make_interval(secs => ${IDEMPOTENCY_WINDOW}::int))
      ORDER BY created_at LIMIT ${CHUNK}::int))`;
  return result.count;
}

async function deleteDeduplicationIds(
  sql: Sql,
  table: "deduplication_ids" | "topic_deduplication_ids",
): Promise<number> {
  const result = await sql`
    DELETE FROM ${sql(table)} WHERE ctid IN (
      SELECT ctid FROM ${sql(table)}
      WHERE accepted_at < clock_timestamp() - make_interval(secs => ${DEDUPLICATION_INTERVAL}::int)
      LIMIT ${CHUNK}::int FOR UPDATE SKIP LOCKED)`;
  return result.count;
}

async function deleteReceiveAttempts(sql: Sql): Promise<number> {
  const result = await sql`
    DELETE FROM receive_attempts WHERE ctid IN (
      SELECT ctid FROM receive_attempts
      WHERE received_at < clock_timestamp() - make_interval(secs => ${ATTEMPT_INTERVAL}::int)
      LIMIT ${CHUNK}::int FOR UPDATE SKIP LOCKED)`;
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

async function deleteReplays(sql: Sql): Promise<number> {
  const result = await sql`
    DELETE FROM replays WHERE id IN (
      SELECT id FROM replays r
      WHERE finished_at < clock_timestamp() - make_interval(secs => ${REDRIVE_KEPT}::int)
        -- The newest one is for AWS' clients an attribute of its subscription, which ends with that alone.
        AND EXISTS (SELECT FROM replays newer WHERE newer.subscription_id = r.subscription_id AND newer.created_at > r.created_at)
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

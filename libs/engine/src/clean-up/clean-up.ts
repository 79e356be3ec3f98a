import { classifyFailure, type Sql } from "@sluice/database";

import { ATTEMPT_INTERVAL } from "../receive/repeat-attempt.ts";
import { DEDUPLICATION_INTERVAL } from "../send/insert-fifo.ts";
import { deleteExpiredFifo, deleteExpiredFifoAnywhere } from "./delete-expired-fifo.ts";
import { ChunkSize } from "./chunks.ts";
import { compactBatches } from "./compact-batches.ts";
import { deleteArchived, endOverlongReplays } from "./delete-archived.ts";
import { deleteExpired, deleteExpiredAnywhere } from "./delete-expired.ts";
import { deletePayloads } from "./delete-payloads.ts";
import { readInOrder } from "./read-in-order.ts";

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
  /** Ends it after the statement that runs; what comes after it is for the next run. */
  signal?: AbortSignal;
  /** Told of messages past their retention as they go: gone they are, whatever fails after them. */
  expired?: (messages: number) => void;
  /** How much goes at once; keep one for many runs, since it learns. */
  chunks?: { payloads: ChunkSize };
}

/**
 * What a repeat of a call with an Idempotency-Key can rely on, in seconds: what a deduplication id has (LIMITS:
 * topics). A million calls in this time are 230 MB.
 */
const IDEMPOTENCY_WINDOW = 300;
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
 * payloads with few, the lines of the others), old idempotency keys, archives past their days, redrives and replays
 * that ended long ago, and unused filter policies. One dispatcher at a time; undefined when another one is at it.
 *
 * Each step removes at most a chunk and repeats while chunks are full, so no statement holds locks for long, and one
 * that dies leaves what was done before it.
 */
export async function cleanUp(
  sql: Sql,
  {
    thorough = true,
    payloads = true,
    signal,
    expired = () => undefined,
    chunks = cleanUpChunks(),
  }: CleanUpOptions = {},
): Promise<CleanUpResult | undefined> {
  const [lock] = await sql<
    { mine: boolean }[]
  >`SELECT pg_try_advisory_lock(${CLEAN_UP_LOCK}::bigint) AS mine`;
  if (!lock?.mine) return undefined;
  const removed = { ...NOTHING };
  const inChunks = (deleteChunk: () => Promise<number>) =>
    new ChunkSize({ min: CHUNK, max: CHUNK }).removeAll(deleteChunk, signal);
  const remove = (what: keyof CleanUpResult, deleteChunk: () => Promise<number>) => async () => {
    removed[what] += await inChunks(deleteChunk);
  };
  const expire = (deleteChunk: typeof deleteExpired) => async () => {
    await inChunks(async () => {
      const chunk = await deleteChunk(sql, CHUNK);
      removed.expiredSlices += chunk.slices;
      removed.expiredMessages += chunk.messages;
      if (chunk.messages > 0) expired(chunk.messages);
      return chunk.slices;
    });
  };
  const steps = [
    expire(deleteExpired),
    expire(deleteExpiredFifo),
    remove("deletedQueueSlices", () => deleteOfDeletedQueues(sql, "slices")),
    ...OF_FIFO_QUEUES.map((table) => () => inChunks(() => deleteOfDeletedQueues(sql, table))),
    remove("idempotencyKeys", () => deleteIdempotencyKeys(sql)),
    remove("deduplicationIds", () => deleteDeduplicationIds(sql, "deduplication_ids")),
    remove("deduplicationIds", () => deleteDeduplicationIds(sql, "topic_deduplication_ids")),
    remove("receiveAttempts", () => deleteReceiveAttempts(sql)),
    remove("redriveTasks", () => deleteRedriveTasks(sql)),
    remove("filterPolicies", () => deleteFilterPolicies(sql)),
    remove("replays", () => deleteReplays(sql)),
    async () => void (await endOverlongReplays(sql)),
    remove("archivedBatches", () => deleteArchived(sql, CHUNK)),
    () => forgetDeletedQueues(sql),
  ];
  if (thorough) steps.push(expire(deleteExpiredAnywhere), expire(deleteExpiredFifoAnywhere));
  if (thorough && payloads)
    steps.push(
      async () => void (removed.payloads = await deletePayloads(sql, chunks.payloads, signal)),
      async () => void (removed.compactedBatches = await compactBatches(sql, signal)),
    );
  const failures: unknown[] = [];
  try {
    for (const step of steps) {
      if (signal?.aborted) break;
      // Each may run into its time-out where there is very much: the others have their turn nevertheless.
      await step().catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
    return removed;
  } finally {
    await sql`SELECT pg_advisory_unlock(${CLEAN_UP_LOCK}::bigint)`;
  }
}

const NOTHING: Readonly<CleanUpResult> = {
  expiredSlices: 0,
  expiredMessages: 0,
  deletedQueueSlices: 0,
  payloads: 0,
  compactedBatches: 0,
  idempotencyKeys: 0,
  deduplicationIds: 0,
  receiveAttempts: 0,
  redriveTasks: 0,
  filterPolicies: 0,
  archivedBatches: 0,
  replays: 0,
};

const OF_FIFO_QUEUES = ["fifo_slices", "fifo_groups", "deduplication_ids", "receive_attempts"];

/**
 * All that belonged to queues that are gone, found queue by queue: there may be much of others, and nothing of these.
 */
async function deleteOfDeletedQueues(sql: Sql, table: string): Promise<number> {
  return await sql.begin(async (tx) => {
    await readInOrder(tx);
    const result = await tx`
      DELETE FROM ${tx(table)} WHERE ctid = ANY(ARRAY(
        SELECT left_over.row FROM deleted_queues d CROSS JOIN LATERAL (
          SELECT t.ctid AS row FROM ${tx(table)} t WHERE t.queue_id = d.queue_id
          LIMIT ${CHUNK}::int FOR UPDATE SKIP LOCKED
        ) left_over LIMIT ${CHUNK}::int))`;
    return result.count;
  });
}

/** Only those of which nothing is left: whatever else removes messages asks the queue how long they are kept. */
async function forgetDeletedQueues(sql: Sql): Promise<void> {
  const isLeft = (table: string) =>
    sql`EXISTS (SELECT FROM ${sql(table)} t WHERE t.queue_id = d.queue_id OFFSET 0)`;
  await sql.begin(async (tx) => {
    await readInOrder(tx);
    // OFFSET 0: one look into an index for each queue, not a join with all there is.
    await tx`
      DELETE FROM deleted_queues d
      WHERE deleted_at < clock_timestamp() - make_interval(secs => ${DELETED_QUEUE_GRACE}::int)
        AND NOT (${isLeft("slices")} OR ${isLeft("fifo_slices")} OR ${isLeft("fifo_groups")}
                 OR ${isLeft("deduplication_ids")} OR ${isLeft("receive_attempts")})`;
  });
}

async function deleteIdempotencyKeys(sql: Sql): Promise<number> {
  const result = await sql`
    DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM idempotency_keys
      WHERE created_at < (SELECT clock_timestamp() - make_interval(secs => ${IDEMPOTENCY_WINDOW}::int))
      ORDER BY created_at LIMIT ${CHUNK}::int))`;
  return result.count;
}

// A clock that is called is no bound of an index, a subselect of it is: 300,000 ids of which none has to go take 0.1
// ms, and 172 ms as a whole table.
async function deleteDeduplicationIds(
  sql: Sql,
  table: "deduplication_ids" | "topic_deduplication_ids",
): Promise<number> {
  const result = await sql`
    DELETE FROM ${sql(table)} WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM ${sql(table)}
      WHERE accepted_at < (SELECT clock_timestamp() - make_interval(secs => ${DEDUPLICATION_INTERVAL}::int))
      ORDER BY accepted_at LIMIT ${CHUNK}::int FOR UPDATE SKIP LOCKED))`;
  return result.count;
}

async function deleteReceiveAttempts(sql: Sql): Promise<number> {
  const result = await sql`
    DELETE FROM receive_attempts WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM receive_attempts
      WHERE received_at < (SELECT clock_timestamp() - make_interval(secs => ${ATTEMPT_INTERVAL}::int))
      ORDER BY received_at LIMIT ${CHUNK}::int FOR UPDATE SKIP LOCKED))`;
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

/**
 * Filter policies that no subscription has any more. Whoever is just taking one up again is refused by its key, and
 * adds it anew; who did so after this statement began has it refused, and they are left for the next time.
 */
async function deleteFilterPolicies(sql: Sql): Promise<number> {
  try {
    const result = await sql`
      DELETE FROM filter_policies WHERE id IN (
        SELECT f.id FROM filter_policies f
        WHERE f.created_at < clock_timestamp() - make_interval(secs => ${FILTER_POLICY_GRACE}::int)
          AND NOT EXISTS (SELECT FROM subscriptions s WHERE s.filter_id = f.id)
        LIMIT ${CHUNK}::int FOR UPDATE SKIP LOCKED)`;
    return result.count;
  } catch (error) {
    if (classifyFailure(error) !== "missing-reference") throw error;
    return 0;
  }
}

import { classifyFailure, isStatementCancelled, type Sql } from "@sluice/database";

import { evaluateBatches, MAX_EVALUATION, type EvaluationContext } from "./evaluate-batches.ts";
import {
  takeBatches,
  takenTogether,
  type FilteredBatch,
  type TakenBatches,
  type WaitingBatch,
} from "./take-batches.ts";

export interface FanOutContext extends EvaluationContext {
  sql: Sql;
  /** Told what each statement did, after its commit. */
  committed: (taken: Pick<TakenBatches, "batches" | "deliveries" | "queueIds">) => void;
  /** Told of a batch that could not be fanned out, whatever became of others. */
  failed: (batchId: string, error: unknown) => void;
}

/** Payloads that are looked at by filters at once: 256 KiB each at most, or one message. */
export const MAX_PAYLOADS = 32;
/** Statements in a row that find other filters than those evaluated, before the batch is left to the sweeper. */
const MAX_ATTEMPTS = 5;

export interface FannedOut {
  batches: number;
  /** Topics of batches that were not fanned out: they have an order, see OrderedFanOut. */
  fifoTopicIds: string[];
}

/**
 * Fans batches out, each once; resolves to how many. Those of topics without filters go with one statement that reads
 * no payload. It says which ones have filters: for them the payloads are read and the filters evaluated, and then they
 * go.
 */
export async function fanOut(
  context: FanOutContext,
  batchIds: readonly string[],
): Promise<FannedOut> {
  const { batches, left, fifoTopicIds } = await takeUnfiltered(context, batchIds);
  let total = batches;
  for (let start = 0; start < left.length; start += MAX_PAYLOADS)
    total += (await takeFiltered(context, left.slice(start, start + MAX_PAYLOADS))).batches;
  return { batches: total, fifoTopicIds };
}

/** Fans out those of topics without filters. */
export async function takeUnfiltered(
  context: FanOutContext,
  batchIds: readonly string[],
): Promise<TakenBatches> {
  const unfiltered = [...new Set(batchIds)].map((batchId) => ({
    batchId,
    filterIds: [],
    masks: [],
  }));
  return await take(context, unfiltered);
}

/**
 * Fans out what takeUnfiltered left, about {@link MAX_PAYLOADS} of them. A batch is left by a statement when its topic
 * has other filters by now, or when others filled the statement.
 *
 * @param until - By performance.now(): what is not evaluated by then is `late`, and still waits. Default: everything is
 * evaluated.
 */
export async function takeFiltered(
  context: FanOutContext,
  some: readonly WaitingBatch[],
  until?: number,
): Promise<{ batches: number; late: readonly WaitingBatch[] }> {
  const { era } = context;
  let total = 0;
  let left = some;
  let known: readonly FilteredBatch[] = [];
  for (let attempt = 0; left.length > 0 && attempt < MAX_ATTEMPTS; attempt += 1) {
    const { evaluated, open } = knownOf(left, known);
    // Something goes in any case where something is known.
    const enough = evaluated.length > 0 ? performance.now() + MAX_EVALUATION : undefined;
    const found = await evaluateBatches({ ...context, era }, open, until ?? enough);
    const late = open.slice(found.length);
    known = [...evaluated, ...found];
    if (known.length === 0) return { batches: total, late };
    era.throwIfForgotten();
    const taken = await take(context, known);
    total += taken.batches;
    left = [...taken.left, ...late];
    if (taken.batches > 0) attempt = -1;
  }
  return { batches: total, late: [] };
}

/** What is known of the batches that are left, with the filters that they need now; the others are open. */
function knownOf(
  left: readonly WaitingBatch[],
  known: readonly FilteredBatch[],
): { evaluated: FilteredBatch[]; open: WaitingBatch[] } {
  const before = new Map(known.map((batch) => [batch.batchId, batch]));
  const evaluated: FilteredBatch[] = [];
  const open: WaitingBatch[] = [];
  for (const batch of left) {
    const last = before.get(batch.batchId);
    if (last?.filterIds.join() === batch.filterIds.join()) evaluated.push(last);
    else open.push(batch);
  }
  return { evaluated, open };
}

async function take(
  context: FanOutContext,
  batches: readonly FilteredBatch[],
): Promise<TakenBatches> {
  let taken: TakenBatches;
  try {
    taken = await takeBatches(context.sql, batches);
  } catch (error) {
    return await takeApart(context, batches, error);
  }
  context.committed(taken);
  return taken;
}

/**
 * One batch that Postgres refuses keeps no other one from its queues: each half goes by itself. One that takes too long
 * is not searched for, as every step would take as long: it has more queues than a statement takes together, so it was
 * the first one.
 */
async function takeApart(
  context: FanOutContext,
  batches: readonly FilteredBatch[],
  error: unknown,
): Promise<TakenBatches> {
  const isTooLong = isStatementCancelled(error);
  const failure = classifyFailure(error);
  if (!isTooLong && (failure === "unavailable" || failure === "unknown")) throw error;
  if (isTooLong || batches.length === 1) context.failed(firstOf(batches), error);
  if (batches.length === 1) return takenTogether([]);
  if (isTooLong) throw error;
  const middle = Math.ceil(batches.length / 2);
  return takenTogether([
    await take(context, batches.slice(0, middle)),
    await take(context, batches.slice(middle)),
  ]);
}

function firstOf(batches: readonly FilteredBatch[]): string {
  return batches
    .map(({ batchId }) => batchId)
    .reduce((first, id) => (BigInt(id) < BigInt(first) ? id : first));
}

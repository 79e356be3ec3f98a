import { classifyFailure, isStatementCancelled, numbers, type Sql } from "@sluice/database";

import type { Observer } from "../observer.ts";
import type { Payloads } from "../receive/payloads.ts";
import { evaluate } from "./evaluate.ts";
import { NOTHING, type Filters } from "./filters.ts";
import {
  takeBatches,
  takenTogether,
  type FilteredBatch,
  type TakenBatches,
} from "./take-batches.ts";

export interface FanOutContext {
  sql: Sql;
  filters: Filters;
  payloads: Payloads;
  observer: Observer;
  /** Told what each statement did, after its commit. */
  committed: (taken: Pick<TakenBatches, "batches" | "deliveries" | "queueIds">) => void;
  /** Told of a batch that could not be fanned out, whatever became of others. */
  failed: (batchId: string, error: unknown) => void;
}

/** Payloads that are looked at by filters at once: 256 KiB each at most. */
const MAX_PAYLOADS = 32;
/** Statements in a row that find other filters than those evaluated, before the batch is left to the sweeper. */
const MAX_ATTEMPTS = 5;

export interface FannedOut {
  batches: number;
  /** Topics of batches that were not fanned out: they have an order, see OrderedFanOut. */
  fifoTopicIds: string[];
}

/**
 * Fans batches out, each once; resolves to how many. Those of topics without filters go with one statement that reads no
 * payload. It says which ones have filters: for them the payloads are read and the filters evaluated, and then they go.
 */
export async function fanOut(
  context: FanOutContext,
  batchIds: readonly string[],
): Promise<FannedOut> {
  const unfiltered = [...new Set(batchIds)].map((batchId) => ({
    batchId,
    filterIds: [],
    masks: [],
  }));
  const { batches, left, fifoTopicIds } = await take(context, unfiltered);
  let total = batches;
  for (let start = 0; start < left.length; start += MAX_PAYLOADS)
    total += await takeFiltered(context, left.slice(start, start + MAX_PAYLOADS));
  return { batches: total, fifoTopicIds };
}

/** A batch is left by a statement when its topic has other filters by now, or when others filled the statement. */
async function takeFiltered(context: FanOutContext, some: TakenBatches["left"]): Promise<number> {
  let total = 0;
  let left = some;
  let known: FilteredBatch[] = [];
  for (let attempt = 0; left.length > 0 && attempt < MAX_ATTEMPTS; attempt += 1) {
    known = await withMasks(context, left, known);
    const taken = await take(context, known);
    total += taken.batches;
    left = taken.left;
    if (taken.batches > 0) attempt = -1;
  }
  return total;
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
 * One batch that Postgres refuses keeps no other one from its queues: each half goes by itself. One that takes too long is not
 * searched for, as every step would take as long: it has more queues than a statement takes together, so it was the first one.
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

/** Evaluates the filters that the batches need; what is known already is not evaluated again. */
async function withMasks(
  { filters, payloads, observer }: FanOutContext,
  left: TakenBatches["left"],
  known: readonly FilteredBatch[],
): Promise<FilteredBatch[]> {
  const before = new Map(known.map((batch) => [batch.batchId, batch]));
  const reusable = (batch: TakenBatches["left"][number]) => {
    const last = before.get(batch.batchId);
    return last?.filterIds.join() === batch.filterIds.join() ? last : undefined;
  };
  const open = left.filter((batch) => batch.filterIds.length > 0 && !reusable(batch));
  const [compiled, lines] = await Promise.all([
    filters.get(open.flatMap((batch) => batch.filterIds)),
    payloads.get(open.map((batch) => batch.batchId)),
  ]);
  return left.map((batch) => {
    const last = reusable(batch);
    if (last) return last;
    const present = batch.filterIds.flatMap((id) => {
      const filter = compiled.get(id);
      return filter ? [{ id, filter }] : [];
    });
    return {
      batchId: batch.batchId,
      filterIds: present.map(({ id }) => id),
      masks: evaluate(
        lines.get(batch.batchId) ?? [],
        present.map(({ filter }) => filter),
        (error) => {
          observer.failed("filter evaluation", error);
        },
      ),
    };
  });
}

/** For each batch, for each of its filters: the accepted messages. A filter that is gone by now accepts nothing. */
export async function masksOf(
  { filters, payloads, observer }: FanOutContext,
  batches: readonly { batchId: string; filterIds: readonly string[] }[],
): Promise<bigint[]> {
  const filtered = batches.filter(({ filterIds }) => filterIds.length > 0);
  const [compiled, lines] = await Promise.all([
    filters.get(filtered.flatMap(({ filterIds }) => filterIds)),
    payloads.get(filtered.map(({ batchId }) => batchId)),
  ]);
  return filtered.flatMap(({ batchId, filterIds }) =>
    evaluate(
      lines.get(batchId) ?? [],
      filterIds.map((id) => compiled.get(id) ?? NOTHING),
      (error) => {
        observer.failed("filter evaluation", error);
      },
    ),
  );
}

/** Ages in ms, by the database clock. */
export interface Forgotten {
  /** Batches older than this were announced to nobody who acted on it. */
  olderThan: number;
  /** Those older than this are left out: undefined looks at all of them. */
  youngerThan: number | undefined;
  /** Batches that are left out. */
  except: readonly string[];
  limit: number;
}

/**
 * Batches whose announcement was lost, oldest first. Walks what dead entries the outbox has of the time it looks at, and while
 * something holds the xmin horizon, those are all that were ever in it.
 */
export async function findForgotten(
  sql: Sql,
  { olderThan, youngerThan, except, limit }: Forgotten,
): Promise<string[]> {
  const rows = await sql<{ batch_id: string }[]>`
    SELECT batch_id FROM outbox
    WHERE sent_at < (SELECT clock_timestamp() - ${olderThan}::float8 * interval '1 millisecond')
      AND sequence IS NULL AND batch_id <> ALL (${numbers(except)}::bigint[])
      AND sent_at > (SELECT coalesce(clock_timestamp() - ${youngerThan ?? null}::float8 * interval '1 millisecond', '-infinity'))
    ORDER BY sent_at LIMIT ${limit}::int`;
  return rows.map((row) => row.batch_id);
}

/** FIFO topics whose first waiting batch is older than that, in ms: one look at the front of each. */
export async function findForgottenTopics(sql: Sql, olderThan: number): Promise<string[]> {
  const rows = await sql<{ topic_id: string }[]>`
    WITH RECURSIVE heads AS (
      (SELECT topic_id, sent_at FROM outbox WHERE sequence IS NOT NULL ORDER BY topic_id, sequence LIMIT 1)
      UNION ALL
      SELECT next.topic_id, next.sent_at FROM heads h CROSS JOIN LATERAL (
        SELECT o.topic_id, o.sent_at FROM outbox o
        WHERE o.sequence IS NOT NULL AND o.topic_id > h.topic_id ORDER BY o.topic_id, o.sequence LIMIT 1
      ) next
    )
    SELECT topic_id FROM heads
    WHERE sent_at < (SELECT clock_timestamp() - ${olderThan}::float8 * interval '1 millisecond')`;
  return rows.map((row) => row.topic_id);
}

import type { Observer } from "../observer.ts";
import type { Payloads } from "../receive/payloads.ts";
import type { Era } from "./era.ts";
import { evaluate } from "./evaluate.ts";
import type { Filters } from "./filters.ts";
import type { FilteredBatch } from "./take-batches.ts";

export interface EvaluationContext {
  filters: Filters;
  payloads: Payloads;
  observer: Observer;
  /** That in which it is asked for: the next one begins when the database may be another one. */
  readonly era: Era;
}

/** How long filters are evaluated, in ms, before what was evaluated by then goes on: a batch at least. */
export const MAX_EVALUATION = 1_000;

/**
 * What the filters of each batch accept of it: of the first batches, as far as there is time for it. A filter that is
 * gone by now is left out of those of its batch.
 *
 * @param until - By performance.now(); nothing may be evaluated by then. Default: {@link MAX_EVALUATION} from now, and
 * the first batch at least.
 * @throws the reason of the era's signal
 */
export async function evaluateBatches(
  { filters, payloads, observer, era }: EvaluationContext,
  batches: readonly Pick<FilteredBatch, "batchId" | "filterIds">[],
  until?: number,
): Promise<FilteredBatch[]> {
  const filtered = batches.filter(({ filterIds }) => filterIds.length > 0);
  const [compiled, lines] = await Promise.all([
    filters.get(filtered.flatMap(({ filterIds }) => filterIds)),
    payloads.get(filtered.map(({ batchId }) => batchId)),
  ]);
  const failed = (error: unknown) => {
    observer.failed("filter evaluation", error);
  };
  const enough = until ?? performance.now() + MAX_EVALUATION;
  const evaluated: FilteredBatch[] = [];
  for (const { batchId, filterIds } of batches) {
    const isUnhurried = until === undefined && evaluated.length === 0;
    if (!isUnhurried && performance.now() >= enough) break;
    const present = filterIds.flatMap((id) => {
      const filter = compiled.get(id);
      return filter ? [{ id, filter }] : [];
    });
    const masks = await evaluate(
      lines.get(batchId) ?? [],
      present.map(({ filter }) => filter),
      { failed, signal: era.signal, until: isUnhurried ? undefined : enough },
    );
    if (!masks) break;
    evaluated.push({ batchId, filterIds: present.map(({ id }) => id), masks });
  }
  return evaluated;
}

/**
 * The same where all batches have the same filters: of each batch a mask for each filter, in their order. A filter that
 * is gone by now accepts nothing.
 */
export async function evaluateAlike(
  context: EvaluationContext,
  batchIds: readonly string[],
  filterIds: readonly string[],
): Promise<(readonly bigint[])[]> {
  if (filterIds.length === 0) return batchIds.map(() => []);
  const batches = batchIds.map((batchId) => ({ batchId, filterIds }));
  const evaluated = await evaluateBatches(context, batches);
  return evaluated.map(({ filterIds: present, masks }) =>
    present.length === filterIds.length
      ? masks
      : filterIds.map((id) => masks[present.indexOf(id)] ?? 0n),
  );
}

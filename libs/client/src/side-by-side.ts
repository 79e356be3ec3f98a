import { isPromise } from "./payload.ts";

/** How many are under way at once. */
const atOnce = 100;

/**
 * What comes of each item, in their order. Where that takes its time, as schemas may, a hundred are under way at once;
 * where it does not, there is no promise an item, and an item costs no more than in a loop of its own.
 *
 * Rejects with the first error in the order of items; those of others that are under way by then are left alone.
 *
 * @param isEnough - Whether no more is to begin: what comes of the others is left out.
 */
export async function sideBySide<Item, Result>(
  items: readonly Item[],
  act: (item: Item, index: number) => Result | Promise<Result>,
  isEnough: () => boolean = () => false,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let from = 0; from < items.length && !isEnough(); from += atOnce) {
    const begun: (Result | Promise<Result>)[] = [];
    let takesTime = false;
    const to = Math.min(from + atOnce, items.length);
    // By their numbers, so that holes are visited as well: Array.from() costs 50 ns an item more.
    try {
      for (let index = from; index < to; index++) {
        const result = act(items[index]!, index);
        takesTime ||= isPromise(result);
        begun.push(result);
      }
    } catch (error) {
      // It may not be the first: of those before it some are still under way.
      if (takesTime) for (const result of begun) await result;
      throw error;
    }
    if (takesTime) for (const result of begun) results.push(await result);
    else results.push(...(begun as Result[]));
  }
  return results;
}

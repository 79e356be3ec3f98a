import { setTimeout as sleep } from "node:timers/promises";

/** Most items that are handed out together. */
const groupSize = 250;

/** Hands out items at `rate` a second (0: at once), those that have become due meanwhile together. */
export async function* paced<T>(
  items: Iterable<T>,
  { rate, signal }: { rate: number; signal: AbortSignal },
): AsyncGenerator<T[], void, undefined> {
  const startedAt = performance.now();
  const dueAt = (index: number) => (rate === 0 ? startedAt : startedAt + (index * 1_000) / rate);
  let group: T[] = [];
  let index = 0;
  for (const item of items) {
    const due = dueAt(index++);
    const isAhead = due > performance.now();
    if (group.length === groupSize || (isAhead && group.length > 0)) {
      yield group;
      group = [];
    }
    signal.throwIfAborted();
    // Timers may fire a millisecond early.
    for (let left = due - performance.now(); left > 0; left = due - performance.now())
      await sleep(left, undefined, { signal });
    group.push(item);
  }
  if (group.length > 0) yield group;
}

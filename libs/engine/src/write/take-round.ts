export interface Weighed<Item> {
  item: Item;
  weight: number;
}

/** Targets among which a round is shared out before one of them gets the rest. */
const TARGETS = 4;

/**
 * Parts what waits into the next round and the rest, each in the order of arrival.
 *
 * Without targets a round takes what came first. With them none takes more than a quarter before the others that wait
 * had theirs, so that whoever sends a few messages does not wait until somebody else's hundred thousand are written.
 * What goes to one target keeps its order.
 *
 * @param maxRound - A round stops growing at this weight; one item may be heavier.
 */
export function takeRound<Item, Entry extends Weighed<Item>>(
  waiting: readonly Entry[],
  { maxRound, targetOf }: { maxRound: number; targetOf?: ((item: Item) => string) | undefined },
): { round: Entry[]; rest: Entry[] } {
  const taken = targetOf ? takeByTarget(waiting, maxRound, targetOf) : undefined;
  if (!taken) {
    const count = countOf(waiting, maxRound);
    return { round: waiting.slice(0, count), rest: waiting.slice(count) };
  }
  return {
    round: waiting.filter((entry) => taken.has(entry)),
    rest: waiting.filter((entry) => !taken.has(entry)),
  };
}

function countOf(waiting: readonly Weighed<unknown>[], maxRound: number): number {
  let weight = 0;
  const end = waiting.findIndex((entry, at) => {
    weight += entry.weight;
    return at > 0 && weight > maxRound;
  });
  return end < 0 ? waiting.length : end;
}

function takeByTarget<Item, Entry extends Weighed<Item>>(
  waiting: readonly Entry[],
  maxRound: number,
  targetOf: (item: Item) => string,
): Set<Entry> {
  const taken = new Set<Entry>();
  let weight = 0;
  /** Until something of a target has to wait: what comes after that waits as well. */
  const takeWithin = (share: number) => {
    const shares = new Map<string, number>();
    for (const entry of waiting) {
      if (taken.has(entry)) continue;
      const target = targetOf(entry.item);
      const before = shares.get(target) ?? 0;
      const isWithin = before === 0 || before + entry.weight <= share;
      const fits = taken.size === 0 || weight + entry.weight <= maxRound;
      shares.set(target, isWithin && fits ? before + entry.weight : Infinity);
      if (!isWithin || !fits) continue;
      taken.add(entry);
      weight += entry.weight;
    }
  };
  takeWithin(maxRound / TARGETS);
  takeWithin(maxRound);
  return taken;
}

import { setTimeout as sleep } from "node:timers/promises";
import { now } from "../history/log.ts";
import { between, pick, type Random } from "../random.ts";
import { nemeses } from "./nemeses.ts";
import type { Battlefield } from "./nemesis.ts";

/** One fault, as it was. */
export interface Fault {
  name: string;
  /** Seconds since the workload began. */
  at: number;
  /** CLOCK_MONOTONIC, as the histories have it, ns. */
  begin: number;
  /** Seconds that it lasted. */
  lasted: number;
  /** Milliseconds from its end until every API published and delivered again; undefined when it did not. */
  recoveredAfter: number | undefined;
}

export interface ScheduleOptions {
  names: readonly string[];
  field: Battlefield;
  /** performance.now() at the beginning and at the end of the faults. */
  from: number;
  until: number;
  /** Resolves when the whole system serves again, with how many milliseconds it took; undefined when it does not. */
  recover: () => Promise<number | undefined>;
  onFault: (fault: Fault) => void;
  signal: AbortSignal;
}

/** How long one mix of nemeses is in force, ms. */
const MIX_MS = 20_000;
const MIX_SIZE = 8;

/**
 * Strikes every few seconds with one nemesis of a mix that is redrawn every 20 s, a quarter of the time with two at
 * once, and a quarter of the time not at all. Where there are few names, each is struck in turn, so that a short run
 * misses none.
 */
export async function strikeUntil(options: ScheduleOptions): Promise<void> {
  const { names, field, until, signal } = options;
  const { random } = field;
  const draw = drawer(names, random);
  while (performance.now() < until && !signal.aborted && names.length > 0) {
    const count = random() < 0.25 ? 2 : 1;
    await strike(options, Array.from({ length: count }, draw));
    await sleep(between(random, 200, random() < 0.25 ? 3_000 : 1_000));
  }
}

async function strike(options: ScheduleOptions, drawn: readonly string[]): Promise<void> {
  const { field, from, recover, onFault } = options;
  const [began, begin] = [performance.now(), now()];
  const names = [...new Set(drawn)];
  // A nemesis that finds its victim gone by another one's hand has nothing to do.
  await Promise.allSettled(names.map(async (name) => await nemeses[name]?.(field)));
  await field.system.heal();
  const lasted = (performance.now() - began) / 1_000;
  const recoveredAfter = await recover();
  const at = (began - from) / 1_000;
  onFault({ name: names.join(" + "), at, begin, lasted, recoveredAfter });
}

function drawer(names: readonly string[], random: Random): () => string {
  let mix: string[] = [];
  let drawnAt = -Infinity;
  return () => {
    if (performance.now() - drawnAt > MIX_MS) {
      mix = shuffled(names, random).slice(0, MIX_SIZE);
      drawnAt = performance.now();
    }
    // In turn first, by chance afterwards.
    return mix.shift() ?? pick(random, names);
  };
}

function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  return items
    .map((item) => ({ item, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

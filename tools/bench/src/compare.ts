import type { Bench } from "./bench.ts";
import type { Metric, Report, Row } from "./report/report.ts";
import { figureOf } from "./report/statistics.ts";
import { systems as allSystems } from "./systems/systems.ts";
import { Unavailable, type RunningSystem, type System } from "./systems/system.ts";

/** A benchmark that puts several systems through the same thing. */
export interface Comparison<Variant> {
  name: string;
  title: string;
  workload: string;
  metrics: Metric[];
  /** What `--systems` is by default. */
  systems: string[];
  /** With the label that the table shows; one without a label where there is nothing to vary. */
  variants: { label?: string; variant: Variant }[];
  /** One round: its figures by the keys of the metrics. Fails when a message is lost or doubled. */
  round: (
    contestant: Contestant,
    variant: Variant,
    round: string,
  ) => Promise<Record<string, number>>;
}

export interface Contestant {
  system: string;
  running: RunningSystem;
}

/**
 * Runs the rounds of all systems in turn, each round beginning with another, so that what disturbs the machine for a while disturbs all of
 * them. A system whose round fails is out for that variant, and the report says why.
 */
export async function compare<Variant>(
  bench: Bench,
  comparison: Comparison<Variant>,
): Promise<Report> {
  const { options, say } = bench;
  const notes: string[] = [];
  const contestants = await startAll(bench, comparison.systems, notes);
  const rows: Row[] = [];
  for (const { label, variant } of comparison.variants) {
    const entries = contestants.map((contestant) => new Entry(contestant, label));
    for (let round = options.warmUp ? 0 : 1; round <= options.rounds; round += 1) {
      for (const entry of rotated(entries, round)) {
        await entry.run(round, async (contestant, name) =>
          comparison.round(contestant, variant, name),
        );
        say(entry.progress(round, comparison.metrics));
      }
    }
    rows.push(...entries.map((entry) => entry.row(comparison.metrics)));
  }
  const { name, title, workload, metrics } = comparison;
  return { name, title, workload, metrics, rows, notes };
}

/** Starts what is to be compared, one after another; what is not installed is left out with a note. */
async function startAll(
  { options, say, system }: Bench,
  defaults: readonly string[],
  notes: string[],
): Promise<(Contestant & { title: string })[]> {
  const wanted = chosen(options.systems ?? defaults);
  const started = [];
  for (const { name, title, settings } of wanted) {
    try {
      say(`starting ${title}`);
      const running = await system(name);
      notes.push(`${title} (${running.description}): ${settings}`);
      started.push({ system: name, title, running });
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      notes.push(`skipped ${title}: ${error.message}`);
      say(notes.at(-1) ?? "");
    }
  }
  return started;
}

function chosen(names: readonly string[]): System[] {
  if (names.includes("all")) return [...allSystems];
  return names.map((name) => {
    const found = allSystems.find((system) => system.name === name);
    if (found === undefined) throw new Unavailable(`there is no system "${name}"`);
    return found;
  });
}

let rounds = 0;

/** One system under one variant. */
class Entry {
  readonly #contestant: Contestant & { title: string };
  readonly #variant: string | undefined;
  readonly #results: Record<string, number>[] = [];
  #last: Record<string, number> = {};
  #failure: string | undefined;

  constructor(contestant: Contestant & { title: string }, variant: string | undefined) {
    this.#contestant = contestant;
    this.#variant = variant;
  }

  async run(
    round: number,
    work: (contestant: Contestant, name: string) => Promise<Record<string, number>>,
  ): Promise<void> {
    if (this.#failure !== undefined) return;
    rounds += 1;
    const name = `${Date.now().toString(36)}-${rounds}`;
    try {
      this.#last = await work(this.#contestant, name);
      if (round > 0) this.#results.push(this.#last);
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
    }
  }

  progress(round: number, metrics: readonly Metric[]): string {
    const what = round === 0 ? "warm-up" : `round ${round}`;
    const outcome =
      this.#failure === undefined
        ? metrics.map(({ key, label }) => `${label} ${this.#last[key]?.toFixed(2)}`).join(", ")
        : `failed: ${this.#failure}`;
    const variant = this.#variant === undefined ? "" : `, ${this.#variant}`;
    return `${this.#contestant.title}${variant}, ${what}: ${outcome}`;
  }

  row(metrics: readonly Metric[]): Row {
    const base = {
      label: this.#contestant.title,
      ...(this.#variant !== undefined && { variant: this.#variant }),
    };
    if (this.#failure !== undefined) return { ...base, figures: {}, failure: this.#failure };
    const figures = metrics.map(({ key }) => [
      key,
      figureOf(this.#results.map((result) => result[key] ?? Number.NaN)),
    ]);
    return { ...base, figures: Object.fromEntries(figures) as Row["figures"] };
  }
}

function rotated<Item>(items: readonly Item[], by: number): Item[] {
  const start = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}

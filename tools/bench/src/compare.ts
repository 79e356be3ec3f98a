import type { Bench } from "./bench.ts";
import { formatted } from "./report/numbers.ts";
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
  /** Whether it is AWS' clients that put them through it. */
  byAws?: boolean;
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
 * Runs the rounds of all systems in turn, each round beginning with another, so that what disturbs the machine for a
 * while disturbs all of them. A system is started for its round, warmed up, measured and stopped: no other runs beside
 * it. One whose round fails is out for that variant, and the report says why.
 */
export async function compare<Variant>(
  bench: Bench,
  comparison: Comparison<Variant>,
): Promise<Report> {
  const { name, title, workload, metrics, variants } = comparison;
  const notes = new Map<string, string>();
  const wanted = chosen(bench.options.systems ?? comparison.systems);
  const entries = variants.flatMap(({ label, variant }) =>
    wanted.map((system) => ({ system, variant, entry: new Entry(system, label) })),
  );
  for (let round = 1; round <= bench.options.rounds; round += 1) {
    for (const system of rotated(wanted, round - 1)) {
      const own = entries.filter((each) => each.system === system);
      await oneRound(bench, { system, own, round, notes, comparison });
    }
  }
  const rows = entries.filter(({ entry }) => entry.present).map(({ entry }) => entry.row(metrics));
  return { name, title, workload, metrics, rows, notes: [...notes.values()] };
}

interface RoundPlan<Variant> {
  system: System;
  own: { variant: Variant; entry: Entry }[];
  round: number;
  notes: Map<string, string>;
  comparison: Comparison<Variant>;
}

/** One system, all variants; what is not installed is left out with a note. */
async function oneRound<Variant>(
  { options, say, start }: Bench,
  { system, own, round, notes, comparison }: RoundPlan<Variant>,
): Promise<void> {
  const { name, title, settings } = system;
  if (notes.get(name)?.startsWith("skipped") === true) return;
  try {
    if (comparison.byAws ? system.aws === undefined : system.aws === "only")
      throw new Unavailable(
        `benchmarks ${comparison.byAws ? "by" : "without"} AWS' clients are not for it`,
      );
    await using running = await start(name);
    notes.set(name, `${title} (${running.description}): ${settings}`);
    for (const { variant, entry } of own) {
      const work = async (unique: string) =>
        comparison.round({ system: name, running }, variant, unique);
      if (options.warmUp) say(await entry.run("warm-up", work));
      say(await entry.run(round, work));
    }
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    notes.set(name, `skipped ${title}: ${error.message}`);
    say(notes.get(name) ?? "");
  }
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
  readonly #title: string;
  readonly #variant: string | undefined;
  readonly #results: Record<string, number>[] = [];
  #failure: string | undefined;

  constructor({ title }: System, variant: string | undefined) {
    this.#title = title;
    this.#variant = variant;
  }

  /** False for what is not installed. */
  get present(): boolean {
    return this.#results.length > 0 || this.#failure !== undefined;
  }

  /** Runs a round, unless one has failed before, and says how it went. */
  async run(
    round: number | "warm-up",
    work: (unique: string) => Promise<Record<string, number>>,
  ): Promise<string> {
    const label = [this.#title, ...(this.#variant === undefined ? [] : [this.#variant])].join(", ");
    const prefix = `${label}, ${round === "warm-up" ? round : `round ${round}`}`;
    if (this.#failure !== undefined) return `${prefix}: failed before`;
    rounds += 1;
    try {
      const result = await work(`${Date.now().toString(36)}-${rounds}`);
      if (round !== "warm-up") this.#results.push(result);
      const figures = Object.entries(result).map(([key, value]) => `${key} ${formatted(value)}`);
      return `${prefix}: ${figures.join(", ")}`;
    } catch (error) {
      if (error instanceof Unavailable) throw error;
      this.#failure = error instanceof Error ? error.message : String(error);
      return `${prefix}: failed: ${this.#failure}`;
    }
  }

  row(metrics: readonly Metric[]): Row {
    const base = {
      label: this.#title,
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
  const from = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(from), ...items.slice(0, from)];
}

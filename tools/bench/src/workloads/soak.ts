import { setTimeout as sleep } from "node:timers/promises";

import type { Bench, Benchmark } from "../bench.ts";
import type { Row } from "../report/report.ts";
import { figureOf } from "../report/statistics.ts";
import { chores, type Chore } from "../soak/chores.ts";
import { growthOf, type Look } from "../soak/growth.ts";
import { clients, probed, unprobed, type Watched } from "../soak/watched.ts";
import { World } from "../soak/world.ts";
import type { RunningSystem } from "../systems/system.ts";
import { servicesOf } from "./services.ts";

const MIB = 2 ** 20;
/** How many looks at the memory of each process a run has. */
const LOOKS = 60;
/** Between two turns of a chore, in ms: it is a steady load that leaves time over, not as much as there can be. */
const PAUSE = 100;
/** In less than so many seconds caches fill and code is compiled, which says nothing of hours. */
const JUDGED = 600;

/** What is kept after hours of things that come and go: a process that keeps something of each of them grows. */
export const soak: Benchmark = {
  name: "soak",
  help: "a steady load of all that comes and goes: does any process keep more and more memory?",
  run: async (bench) => {
    const { seconds = (bench.options.minutes ?? 30) * 60 } = bench.options;
    await using running = await bench.start("sluice", { probed: true, guarded: true });
    const watched = [...watchedOf(running), clients];
    const { looks, turns } = await watch(bench, { running, watched, seconds });
    return {
      name: "soak",
      title: `Memory kept in ${inWords(seconds)} of a steady load`,
      workload: `side by side, each followed by a pause of ${PAUSE} ms: ${listed(turns)}; the first third of the time does not count`,
      metrics: [
        { key: "last", label: "MiB kept", unit: "in the last part", better: "lower" },
        { key: "first", label: "at first", unit: "in the first part that counts", better: "lower" },
        { key: "hourly", label: "MiB/hour", unit: "growth", better: "lower" },
        { key: "resident", label: "resident", unit: "MiB, at most", better: "lower" },
      ],
      rows: watched.map(({ name }, index) => rowOf(name, looks[index] ?? [], seconds >= JUDGED)),
      ofParts: true,
      notes: [
        running.description,
        running.probed === true
          ? "kept: in use on the heap and outside of it, after a collection of garbage"
          : "kept: in use on the heap and outside of it, garbage of servers included",
        ...(seconds < JUDGED
          ? ["less than ten minutes: nothing is said of whether they grow"]
          : []),
      ],
    };
  },
};

function watchedOf(running: RunningSystem): Watched[] {
  return running.probed === true
    ? (running.services ?? []).map(probed)
    : servicesOf(running).map(unprobed);
}

async function watch(
  bench: Bench,
  { running, watched, seconds }: { running: RunningSystem; watched: Watched[]; seconds: number },
): Promise<{ looks: Look[][]; turns: Map<string, number> }> {
  await using world = new World(running.address["url"] ?? "", running.accessKey);
  await world.set();
  if (seconds >= JUDGED) await world.fillPayloads();
  const stopping = new AbortController();
  const turns = new Map<string, number>();
  const working = Object.entries(chores).map(async ([name, chore]) => {
    const turn = () => void turns.set(name, (turns.get(name) ?? 0) + 1);
    await over(chore, { world, signal: stopping.signal, turn }).catch((error: unknown) => {
      throw new Error(`the chore "${name}" failed`, { cause: error });
    });
  });
  // They end when they are told to, or when one fails.
  const failed = Promise.all(working);
  failed.catch(() => undefined);
  const looks: Look[][] = watched.map(() => []);
  const started = performance.now();
  try {
    for (let look = 1; look <= LOOKS; look += 1) {
      const due = started + (look / LOOKS) * seconds * 1_000;
      await Promise.race([failed, sleep(Math.max(0, due - performance.now()))]);
      const kept = await Promise.all(watched.map(async (one) => one.look()));
      const at = (performance.now() - started) / 1_000;
      kept.forEach((each, index) => looks[index]?.push({ ...each, at }));
      if (look % (LOOKS / 10) === 0) bench.say(saidOf(watched, looks, at));
    }
  } finally {
    stopping.abort();
    await Promise.allSettled(working);
  }
  await failed;
  return { looks, turns };
}

async function over(
  chore: Chore,
  { world, signal, turn }: { world: World; signal: AbortSignal; turn: () => void },
): Promise<void> {
  while (!signal.aborted) {
    await chore(world);
    turn();
    await sleep(PAUSE);
  }
}

function saidOf(watched: Watched[], looks: Look[][], at: number): string {
  const each = watched.map(
    ({ name }, index) => `${name} ${((looks[index]?.at(-1)?.used ?? 0) / MIB).toFixed(0)} MiB`,
  );
  return `after ${inWords(at)}: ${each.join(", ")}`;
}

function rowOf(label: string, looks: readonly Look[], isJudged: boolean): Row {
  const { first, last, hourly, grows } = growthOf(looks);
  const figures = {
    last: figureOf([last / MIB]),
    first: figureOf([first / MIB]),
    hourly: figureOf([hourly / MIB]),
    resident: figureOf([Math.max(...looks.map(({ resident }) => resident)) / MIB]),
    used: figureOf(looks.map(({ used }) => used / MIB)),
  };
  if (!grows || !isJudged) return { label, figures };
  const [from, to, by] = [first, last, hourly].map((bytes) => Math.round(bytes / MIB));
  return { label, figures, failure: `grows: from ${from} to ${to} MiB, ${by} MiB an hour` };
}

function listed(turns: ReadonlyMap<string, number>): string {
  return [...turns].map(([name, times]) => `${times.toLocaleString("en-US")} ${name}`).join(", ");
}

function inWords(seconds: number): string {
  return seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} minutes`;
}

import connect from "postgres";

import type { Bench, Benchmark } from "../bench.ts";
import { Crew } from "../load/crew.ts";
import { namesOf, type Load } from "../load/load.ts";
import { openClient } from "../systems/open-client.ts";
import type { RunningSystem } from "../systems/system.ts";
import type { Row } from "../report/report.ts";
import { figureOf } from "../report/statistics.ts";
import { bulk, loadOf } from "./throughput.ts";

/** A backup or a forgotten session keeps a snapshot: nothing that is deleted can be cleaned up meanwhile. */
export const heldTransaction: Benchmark = {
  name: "held-transaction",
  help: "send, receive, acknowledge while another session holds a snapshot: the last minute against the first",
  run: async (bench) => {
    const { seconds = (bench.options.minutes ?? 10) * 60 } = bench.options;
    const parts = bench.options.minutes ?? 10;
    const load = loadOf({ ...bulk, via: "queues", queues: 4, consumerProcesses: 1 }, bench);
    const names = bench.options.systems ?? ["sluice", "pgmq"];
    const rows: Row[] = [];
    const notes: string[] = [];
    for (const name of names) {
      await using running = await bench.start(name);
      notes.push(running.description);
      bench.say(`${name}: ${seconds} s with a held snapshot`);
      rows.push(
        rowOf(name, await measure(bench, { name, running, load, seconds, parts }), seconds),
      );
    }
    const part = seconds / parts === 60 ? "minute" : `part of ${Math.round(seconds / parts)} s`;
    return {
      name: "held-transaction",
      title: `Throughput while a snapshot is held for ${Math.round(seconds)} s`,
      workload: `${load.queues} queues, in each a batch of ${load.publishBatch} is sent, received and acknowledged over and over; messages a second in each ${part}`,
      metrics: [
        {
          key: "last",
          label: "last",
          unit: `messages a second in the last ${part}`,
          better: "higher",
        },
        { key: "first", label: "first", unit: `in the first ${part}`, better: "higher" },
        { key: "kept", label: "last %", unit: "percent of the first", better: "higher" },
      ],
      rows,
      notes,
    };
  },
};

function rowOf(label: string, rates: number[], seconds: number): Row {
  const first = rates[0] ?? 0;
  const last = rates.at(-1) ?? 0;
  if (first === 0) throw new Error(`${label} got nothing done in ${seconds} s`);
  return {
    label,
    figures: {
      last: figureOf([last]),
      first: figureOf([first]),
      kept: figureOf([(last / first) * 100]),
      parts: figureOf(rates),
    },
  };
}

interface Plan {
  name: string;
  running: RunningSystem;
  load: Load;
  seconds: number;
  parts: number;
}

/** Messages a second in each part of the time. */
async function measure({ say }: Bench, plan: Plan): Promise<number[]> {
  const { name, running, load, seconds, parts } = plan;
  if (running.postgres === undefined)
    throw new Error(`${name} has no Postgres that can be reached`);
  const names = namesOf(load, `${Date.now().toString(36)}-held`);
  await using client = await openClient(name, running.address, load);
  await client.create(names);
  const holder = connect(running.postgres.url, { max: 1 });
  try {
    await using crew = new Crew();
    const worker = await crew.hire({
      role: "cycle",
      system: name,
      address: running.address,
      load,
      names,
      consumes: names.queues,
      cycle: { seconds, parts },
    });
    let rates: number[] = [];
    await holder.begin("ISOLATION LEVEL REPEATABLE READ", async (sql) => {
      await sql`SELECT count(*) FROM pg_class`; // takes the snapshot
      const done = await crew.orFailure(worker.run());
      if (done.complaints.length > 0) throw new Error(done.complaints.slice(0, 3).join("; "));
      rates = done.parts.map((count) => (count * parts) / seconds);
    });
    say(rates.map((rate) => rate.toFixed(0)).join(" "));
    await client.remove(names);
    return rates;
  } finally {
    await holder.end();
  }
}

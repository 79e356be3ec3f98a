import { setTimeout as sleep } from "node:timers/promises";

import connect from "postgres";

import type { Benchmark } from "../bench.ts";
import type { Load } from "../load/load.ts";
import { runLoad } from "../load/run-load.ts";
import type { Row } from "../report/report.ts";
import { figureOf } from "../report/statistics.ts";
import { bulk, loadOf } from "./throughput.ts";

/**
 * How much disk is left when everything is gone: every message was a batch of its own, the worst that clients can do.
 */
export const drain: Benchmark = {
  name: "drain",
  help: "sizes of all tables and indexes after 1 million messages, each a batch of its own, are drained",
  run: async (bench) => {
    const { seconds = 300, messages: total = 1_000_000 } = bench.options;
    await using running = await bench.start("sluice");
    const { postgres } = running;
    if (postgres === undefined) throw new Error("drain looks into the database: not with --url");
    // One call under way a queue: calls to one queue that wait for the same commit would share a batch.
    const queues = bench.options.queues?.[0] ?? Math.min(100, total);
    const load: Load = {
      ...loadOf(bulk, bench),
      via: "queues",
      queues,
      messages: Math.ceil(total / queues),
      publishBatch: 1,
      publishers: Math.min(queues, 32),
      publishFirst: true,
    };
    const times = [0, 0.1, 0.2, 0.4, 0.6, 1].map((part) => Math.round(part * seconds));
    const samples: Map<string, number>[] = [];
    bench.say(`sending ${total} messages, one a call, to ${queues} queues`);
    const full = async () => {
      samples.push(await sizes(postgres.url));
      bench.say("draining");
    };
    await runLoad({
      system: "sluice",
      running,
      load,
      round: Date.now().toString(36),
      whenPublished: full,
    });
    for (const [index, time] of times.entries()) {
      await sleep((time - (times[index - 1] ?? 0)) * 1_000);
      samples.push(await sizes(postgres.url));
      bench.say(`${time} s after the last acknowledgement`);
    }
    return {
      name: "drain",
      title: "Disk after a drain",
      workload: `${total.toLocaleString("en-US")} messages of 256 bytes, sent one a call to ${queues} queues, received in batches, acknowledged; MiB of each table or index by seconds since`,
      metrics: ["full", ...times].map((time, index) => ({
        key: `sample${index}`,
        label: typeof time === "number" ? `${time} s` : time,
        unit: index === 0 ? "MiB while everything waits" : `MiB ${time} s after the drain`,
        better: "lower" as const,
      })),
      rows: rowsOf(samples),
      ofParts: true,
      notes: [`${running.description}; relations below 1 MiB throughout are only in the sum`],
    };
  },
};

function rowsOf(samples: Map<string, number>[]): Row[] {
  const relations = [...new Set(samples.flatMap((sample) => [...sample.keys()]))];
  const row = (label: string, sizeIn: (sample: Map<string, number>) => number): Row => ({
    label,
    figures: Object.fromEntries(
      samples.map((sample, index) => [`sample${index}`, figureOf([sizeIn(sample) / 2 ** 20])]),
    ),
  });
  const sum = (sample: Map<string, number>) =>
    [...sample.values()].reduce((total, bytes) => total + bytes, 0);
  const large = relations
    .filter((name) => samples.some((sample) => (sample.get(name) ?? 0) >= 2 ** 20))
    .sort((one, other) => (samples[0]?.get(other) ?? 0) - (samples[0]?.get(one) ?? 0));
  return [row("all", sum), ...large.map((name) => row(name, (sample) => sample.get(name) ?? 0))];
}

/** Bytes of every table, its out-of-line values (toast) and every index of the schema. */
async function sizes(url: string): Promise<Map<string, number>> {
  const sql = connect(url, { max: 1 });
  try {
    const rows = await sql<{ name: string; bytes: number }[]>`
      SELECT coalesce(owner.relname || ' toast' || CASE c.relkind WHEN 'i' THEN ' index' ELSE '' END, c.relname) AS name,
             pg_relation_size(c.oid)::float8 AS bytes
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_index i ON i.indexrelid = c.oid
      LEFT JOIN pg_class owner ON owner.reltoastrelid = coalesce(i.indrelid, c.oid)
      WHERE c.relkind IN ('r', 'i', 't') AND (n.nspname = 'public' OR owner.relnamespace = 'public'::regnamespace)`;
    return new Map(rows.map(({ name, bytes }) => [name, bytes]));
  } finally {
    await sql.end();
  }
}

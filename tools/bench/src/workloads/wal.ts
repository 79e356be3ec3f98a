import connect from "postgres";

import type { Benchmark } from "../bench.ts";
import { compare, type Contestant } from "../compare.ts";
import { deliveriesOf, type Load, type Names } from "../load/load.ts";
import { runLoad } from "../load/run-load.ts";
import { openClient } from "../systems/open-client.ts";
import type { Postgres } from "../systems/postgres.ts";
import { bulk, describeLoad, loadOf } from "./throughput.ts";

/** What systems in Postgres write: log a delivery until all is acknowledged, and disk while all of it waits. */
export const wal: Benchmark = {
  name: "wal",
  help: "bytes of write-ahead log and of disk a delivery",
  run: async (bench) => {
    const load: Load = { ...loadOf({ ...bulk, messages: 20_000 }, bench), publishFirst: true };
    const perDelivery = (unit: string) => `bytes of ${unit} a delivery`;
    return compare(bench, {
      name: "wal",
      title: "Bytes written a delivery",
      workload: `${describeLoad(load)}; everything is published, then received`,
      metrics: [
        { key: "log", label: "WAL B", unit: perDelivery("write-ahead log"), better: "lower" },
        { key: "publish", label: "publish", unit: perDelivery("log to publish"), better: "lower" },
        { key: "receive", label: "receive", unit: perDelivery("log to receive"), better: "lower" },
        { key: "disk", label: "disk B", unit: perDelivery("disk while it waits"), better: "lower" },
      ],
      systems: ["sluice", "pgmq", "pg-boss"],
      variants: [{ variant: load }],
      round: measure,
    });
  },
};

async function measure(
  contestant: Contestant,
  load: Load,
  round: string,
): Promise<Record<string, number>> {
  const { system, running } = contestant;
  if (running.postgres === undefined) throw new Error("its data is in no Postgres of this machine");
  const { postgres } = running;
  const before = await written(postgres);
  let published = before;
  await using client = await openClient(system, running.address, load);
  const whenPublished = async ({ queues }: Names) => {
    for (const queue of queues) await untilHeld(async () => client.left(queue), load.messages);
    published = await written(postgres);
  };
  await runLoad({ ...contestant, load, round, whenPublished });
  const after = await written(postgres);
  const deliveries = deliveriesOf(load);
  return {
    log: (after.log - before.log) / deliveries,
    publish: (published.log - before.log) / deliveries,
    receive: (after.log - published.log) / deliveries,
    disk: (published.disk - before.disk) / deliveries,
  };
}

/** Bytes of log since the beginning of time, and of disk now. */
async function written({ url }: Postgres): Promise<{ log: number; disk: number }> {
  const sql = connect(url, { max: 1 });
  try {
    const [row] = await sql<{ log: number; disk: number }[]>`
      SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS log,
             pg_database_size(current_database())::float8 AS disk`;
    return row ?? { log: 0, disk: 0 };
  } finally {
    await sql.end();
  }
}

/** Fan-out goes on when the last publish has been answered. */
async function untilHeld(left: () => Promise<number>, messages: number): Promise<void> {
  const deadline = performance.now() + 60_000;
  while ((await left()) < messages) {
    if (performance.now() > deadline) throw new Error("the fan-out did not end within a minute");
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createAdmin, connect as connectClient } from "@sluice/client";
import { temporaryFolder } from "@sluice/stack";
import postgres from "postgres";
import { audit, auditCounts, countRest } from "./audit.ts";
import type { Anomaly } from "./check/anomaly.ts";
import { check } from "./check/check.ts";
import { Clients } from "./clients/clients.ts";
import { readCalls } from "./history/log.ts";
import type { History, World } from "./history/history.ts";
import { strikeUntil, type Fault } from "./nemeses/schedule.ts";
import type { ChaosOptions } from "./options.ts";
import { randomFrom, seedOf } from "./random.ts";
import { RecoveryProbe } from "./recovery.ts";
import { countFaults, countMessages, countOperations, type ChaosReport } from "./report/report.ts";
import { System } from "./system/system.ts";
import { createWorld, probeCapabilities, worldFor, type Capabilities } from "./world.ts";

const WARM_UP_MS = 2_000;

export interface RunOptions extends ChaosOptions {
  /** Told of what goes on. */
  tell: (line: string) => void;
  signal: AbortSignal;
}

/** Starts a system and its clients, strikes, heals, drains, and checks what the clients saw. */
export async function runChaos(options: RunOptions): Promise<ChaosReport> {
  const { seed, tell } = options;
  const folder = await temporaryFolder();
  const histories = options.keep ?? join(folder.path, "histories");
  await mkdir(histories, { recursive: true });
  const system = new System({ ...options, folder: folder.path });
  try {
    tell(`seed ${seed}, ${options.nemeses.length} nemeses, ${options.seconds} s`);
    await system.start();
    const direct = system.directUrls;
    const capabilities = await probeCapabilities(direct[0] ?? "");
    const world = worldFor(capabilities);
    await createWorld(direct[0] ?? "", world);
    const saved = { world, wallOffsetMs: Date.now() - performanceNow() };
    await writeFile(join(histories, "world.json"), JSON.stringify(saved));
    const probe = new RecoveryProbe(direct);
    await probe.create();

    const { urls } = system;
    const clients = new Clients({ urls, folder: histories, seed, world, rate: options.rate });
    const outcome = await play({ options, system, clients, probe, world });
    const history = await readHistory(histories);
    tell(`checking ${history.calls.length} calls`);
    return reportOf({ options, system, clients, outcome, history, capabilities });
  } finally {
    await system[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  }
}

/** Reads what a run has left in a folder. */
export async function readHistory(folder: string): Promise<History> {
  const saved = JSON.parse(await readFile(join(folder, "world.json"), "utf8")) as Omit<
    History,
    "calls"
  >;
  return { ...saved, calls: readCalls(folder) };
}

interface Play {
  options: RunOptions;
  system: System;
  clients: Clients;
  probe: RecoveryProbe;
  world: World;
}

interface Outcome {
  faults: Fault[];
  drainedAfter: number | undefined;
  anomalies: Anomaly[];
}

async function play({ options, system, clients, probe, world }: Play): Promise<Outcome> {
  const { tell, signal, seconds, nemeses, longest, seed, patience } = options;
  const connect = () =>
    postgres(system.postgres.adminUrl, { max: 1, connect_timeout: 5, onnotice: () => {} });
  const faults: Fault[] = [];
  try {
    await clients.start("consumer");
    await clients.start("consumer");
    await clients.start("publisher");
    await clients.start("admin");
    await sleep(WARM_UP_MS);
    const from = performance.now();
    const until = from + seconds * 1_000;
    const random = randomFrom(seedOf(seed, "nemeses"));
    await strikeUntil({
      names: nemeses,
      field: { system, clients, random, connect, longest },
      from,
      until,
      recover: probe.recovered,
      onFault: (fault) => {
        faults.push(fault);
        tell(describe(fault));
      },
      signal,
    });
    await sleep(Math.max(0, until - performance.now()), undefined, { signal }).catch(() => {});
    await system.heal();
    tell("all healed; draining");
    await clients.drain();
    const sql = connect();
    const drainedAfter = await untilDrained(sql, patience * 1_000);
    await clients[Symbol.asyncDispose]();
    const anomalies = [
      ...(await audit(sql)),
      ...(await auditCounts(sql, countThrough(system.directUrls[0] ?? ""))),
      ...(await undrained(sql, drainedAfter, world)),
    ];
    await sql.end({ timeout: 1 });
    return { faults, drainedAfter, anomalies };
  } finally {
    await clients[Symbol.asyncDispose]();
  }
}

async function untilDrained(sql: postgres.Sql, ms: number): Promise<number | undefined> {
  const began = performance.now();
  for (let empty = 0; performance.now() - began < ms; await sleep(250)) {
    const { slices, outbox } = await countRest(sql);
    empty = slices + outbox === 0 ? empty + 1 : 0;
    if (empty === 3) return (performance.now() - began) / 1_000;
  }
  return undefined;
}

async function undrained(
  sql: postgres.Sql,
  drainedAfter: number | undefined,
  { queues }: World,
): Promise<Anomaly[]> {
  if (drainedAfter !== undefined) return [];
  const names = queues.map(({ name }) => name);
  const rows = await sql<{ name: string; slices: number }[]>`
    SELECT q.name, count(*)::int AS slices
    FROM (SELECT queue_id FROM slices UNION ALL SELECT queue_id FROM fifo_slices) s JOIN queues q ON q.id = s.queue_id
    WHERE q.name = ANY(${names}::text[]) GROUP BY q.name`;
  return rows.map(({ name, slices }) => ({
    name: "undrained",
    what: `${slices} slices in ${name}`,
  }));
}

function countThrough(url: string): (queue: string) => Promise<number> {
  const admin = createAdmin(connectClient({ url }));
  return async (queue) => {
    const { visible, inFlight, delayed } = (await admin.queues.get(queue)).counts;
    return visible + inFlight + delayed;
  };
}

function reportOf({
  options,
  system,
  clients,
  outcome,
  history,
  capabilities,
}: {
  options: RunOptions;
  system: System;
  clients: Clients;
  outcome: Outcome;
  history: History;
  capabilities: Capabilities;
}): ChaosReport {
  const { faults, drainedAfter } = outcome;
  const anomalies: Anomaly[] = [
    ...outcome.anomalies,
    ...[...system.deaths, ...clients.deaths].map((what) => ({
      name: "process-died" as const,
      what,
    })),
    ...faults
      .filter(({ recoveredAfter }) => recoveredAfter === undefined)
      .map(({ name }) => ({ name: "not-ready" as const, what: `after ${name}` })),
    ...check(history),
  ];
  const complaints: Record<string, number> = {};
  for (const { kind, event } of system.complaints) {
    const key = `${kind}: ${event}`;
    complaints[key] = (complaints[key] ?? 0) + 1;
  }
  return {
    ok: anomalies.length === 0,
    seed: options.seed,
    seconds: options.seconds,
    leftOut: leftOutOf(capabilities),
    operations: countOperations(history.calls),
    messages: countMessages(history.calls),
    faults: countFaults(faults),
    complaints,
    drainedAfter,
    anomalies,
  };
}

function describe({ name, at, lasted, recoveredAfter }: Fault): string {
  const recovered =
    recoveredAfter === undefined ? "not recovered" : `recovered ${recoveredAfter} ms later`;
  return `${at.toFixed(1).padStart(7)} s  ${name}, for ${lasted.toFixed(1)} s; ${recovered}`;
}

/** CLOCK_MONOTONIC, as the histories have it, in ms. */
function performanceNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function leftOutOf({ fifo, fifoTopics, filters }: Capabilities): string[] {
  return [
    ...(fifo ? [] : ["FIFO queues"]),
    ...(fifoTopics ? [] : ["FIFO topics"]),
    ...(filters ? [] : ["filter policies"]),
  ];
}

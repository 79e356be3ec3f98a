import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createAdmin, connect as connectClient } from "@sluice/client";
import { bearer, temporaryFolder, type Credentials } from "@sluice/stack";
import postgres from "postgres";
import { audit, auditCounts, countRest } from "./audit.ts";
import type { Anomaly } from "./check/anomaly.ts";
import { judgeApart } from "./check/judge-apart.ts";
import type { Span } from "./check/spans.ts";
import { summarize, together, type Summary } from "./check/summary.ts";
import type { Verdict } from "./check/verdict.ts";
import { Clients } from "./clients/clients.ts";
import { historyFolder, type HistoryFolder } from "./history/folder.ts";
import type { World } from "./history/history.ts";
import { possibleNemeses } from "./nemeses/possible.ts";
import { strikeUntil, type Fault } from "./nemeses/schedule.ts";
import type { ChaosOptions } from "./options.ts";
import { randomFrom, seedOf } from "./random.ts";
import { RecoveryProbe } from "./recovery.ts";
import { anomalyLines } from "./report/print.ts";
import { countFaults, type ChaosReport } from "./report/report.ts";
import { makeKeys } from "./system/access-keys.ts";
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
  await using folder = await temporaryFolder();
  await using histories = await historyFolder(options.keep);
  const possible = await possibleNemeses(options.nemeses, { ...options, folder: folder.path });
  await using disk = possible.disk;
  const jumps = possible.names.includes("jump-postgres-clock");
  await using system = new System({ ...options, folder: folder.path, disk, jumps });
  tell(`seed ${seed}, ${possible.names.length} nemeses, ${options.seconds} s`);
  for (const what of possible.leftOut) tell(`left out: ${what}`);
  await system.start();
  const direct = system.directUrls;
  const keys = await makeKeys(system.postgres.url, direct);
  const credentials = bearer(keys.good);
  const first = connectClient({ url: direct[0] ?? "", headers: credentials });
  const capabilities = await probeCapabilities(first);
  const world = worldFor(capabilities);
  await createWorld(first, world);
  const wallOffsetMs = Date.now() - performanceNow();
  const saved = { world, wallOffsetMs, lateMs: lateMsOf(options) };
  await writeFile(join(histories.path, "world.json"), JSON.stringify(saved));
  const probe = new RecoveryProbe(direct, credentials);
  await probe.create();

  const { urls } = system;
  const { rate } = options;
  const { lateMs } = saved;
  const clients = new Clients({ urls, keys, folder: histories.path, seed, world, rate, lateMs });
  const names = possible.names;
  const outcome = await play({ options, names, system, clients, probe, world, credentials });
  const withFaults = {
    ...saved,
    faults: outcome.faults.map(spanOf),
    jumps: system.postgresClock?.jumps,
  };
  await writeFile(join(histories.path, "world.json"), JSON.stringify(withFaults));
  const others = summarize(anomaliesOf({ system, clients, outcome }));
  tell("checking the histories");
  const verdict = await judgeApart(histories.path).catch((error: unknown) => {
    histories.keep();
    for (const line of anomalyLines(others)) tell(line);
    throw error;
  });
  const found = together(others, verdict);
  if (found.anomalies.length > 0) histories.keep();
  const leftOut = [...possible.leftOut, ...leftOutOf(capabilities)];
  return reportOf({ options, system, outcome, leftOut, histories, verdict, found });
}

interface Play {
  options: RunOptions;
  /** Of the nemeses. */
  names: readonly string[];
  system: System;
  clients: Clients;
  probe: RecoveryProbe;
  world: World;
  /** Of whoever has a good key. */
  credentials: Credentials;
}

interface Outcome {
  faults: Fault[];
  /** For how long they went on, in seconds. */
  lasted: number;
  drainedAfter: number | undefined;
  anomalies: Anomaly[];
}

async function play({
  options,
  names,
  system,
  clients,
  probe,
  world,
  credentials,
}: Play): Promise<Outcome> {
  const { tell, signal, seconds, longest, seed, patience } = options;
  const connect = () =>
    postgres(system.postgres.adminUrl, {
      max: 1,
      connect_timeout: 5,
      // The driver asks for types where nobody can hear how that fails: a connection that is cut then ends the process.
      fetch_types: false,
      onnotice: () => {},
    });
  const faults: Fault[] = [];
  try {
    await clients.start("consumer");
    await clients.start("consumer");
    await clients.start("publisher");
    await clients.start("admin");
    await clients.start("intruder");
    await sleep(WARM_UP_MS);
    const from = performance.now();
    const until = from + seconds * 1_000;
    const random = randomFrom(seedOf(seed, "nemeses"));
    await strikeUntil({
      names,
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
    const lasted = Math.round((performance.now() - from) / 1_000);
    await system.heal();
    tell("all healed; draining");
    await clients.drain();
    const sql = connect();
    const drainedAfter = await untilDrained(sql, patience * 1_000);
    await clients[Symbol.asyncDispose]();
    const anomalies = [
      ...(await audit(sql)),
      ...(await auditCounts(sql, countThrough(system.directUrls[0] ?? "", credentials))),
      ...(await undrained(sql, drainedAfter, world)),
    ];
    await sql.end({ timeout: 1 });
    return { faults, lasted, drainedAfter, anomalies };
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
    WHERE q.name IN ${sql(names)} GROUP BY q.name`;
  return rows.map(({ name, slices }) => ({
    name: "undrained",
    what: `${slices} slices in ${name}`,
  }));
}

function countThrough(url: string, credentials: Credentials): (queue: string) => Promise<number> {
  const admin = createAdmin(connectClient({ url, headers: credentials }));
  return async (queue) => {
    const { visible, inFlight, delayed } = (await admin.queues.get(queue)).counts;
    return visible + inFlight + delayed;
  };
}

/** What is wrong beside what the clients saw. */
function anomaliesOf({
  system,
  clients,
  outcome,
}: Pick<Play, "system" | "clients"> & { outcome: Outcome }): Anomaly[] {
  return [
    ...outcome.anomalies,
    ...[...system.deaths, ...clients.deaths].map((what) => ({
      name: "process-died" as const,
      what,
    })),
    ...failedRequests(system),
    ...outcome.faults
      .filter(({ recoveredAfter }) => recoveredAfter === undefined)
      .map(({ name }) => ({ name: "not-ready" as const, what: `after ${name}` })),
  ];
}

/** One for each message: what a process calls its own fault is none of the network's. */
function failedRequests({ complaints }: System): Anomaly[] {
  const alike = new Map<string, { count: number; stack: string }>();
  for (const { event, message, stack, count } of complaints) {
    if (event !== "request.failed") continue;
    const known = alike.get(message);
    if (known) known.count += count;
    else alike.set(message, { count, stack });
  }
  return [...alike].map(([message, { count, stack }]) => ({
    name: "request-failed",
    what: `${count} × ${message}${stack === "" ? "" : `; the first: ${stack}`}`,
  }));
}

function reportOf({
  options,
  system,
  outcome,
  leftOut,
  histories,
  verdict,
  found,
}: {
  options: RunOptions;
  system: System;
  outcome: Outcome;
  leftOut: string[];
  histories: HistoryFolder;
  verdict: Verdict;
  found: Summary;
}): ChaosReport {
  const { faults, lasted, drainedAfter } = outcome;
  const complaints: Record<string, number> = {};
  for (const { kind, event, count } of system.complaints) {
    const key = `${kind}: ${event}`;
    complaints[key] = (complaints[key] ?? 0) + count;
  }
  return {
    ok: found.anomalies.length === 0,
    seed: options.seed,
    seconds: lasted,
    leftOut,
    operations: verdict.operations,
    messages: verdict.messages,
    faults: countFaults(faults),
    complaints,
    drainedAfter,
    ...found,
    histories: histories.kept ? histories.path : undefined,
  };
}

function describe({ name, at, lasted, recoveredAfter }: Fault): string {
  const recovered =
    recoveredAfter === undefined ? "not recovered" : `recovered ${recoveredAfter} ms later`;
  return `${at.toFixed(1).padStart(7)} s  ${name}, for ${lasted.toFixed(1)} s; ${recovered}`;
}

/**
 * How long after its begin a call can still have its effect. Whoever made it waits for four seconds; two faults at a
 * time hold it up, and two more when those end just as it gets to the next way. The rest is for slow machines.
 */
function lateMsOf({ longest }: ChaosOptions): number {
  return 30_000 + 5 * longest * 1_000;
}

/** When a fault was in force, until everything was served again; for a minute where it never was. */
function spanOf({ begin, lasted, recoveredAfter = 60_000 }: Fault): Span {
  return { begin, end: begin + lasted * 1e9 + recoveredAfter * 1e6 };
}

/** CLOCK_MONOTONIC, as the histories have it, in ms. */
function performanceNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function leftOutOf({ fifo, fifoTopics, filters }: Capabilities): string[] {
  const missing = [
    ...(fifo ? [] : ["FIFO queues"]),
    ...(fifoTopics ? [] : ["FIFO topics"]),
    ...(filters ? [] : ["filter policies"]),
  ];
  return missing.map((what) => `${what} (this server cannot do it)`);
}

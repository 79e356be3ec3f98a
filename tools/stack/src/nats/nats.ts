import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { removeFrom } from "../folders.ts";
import { startChild, type Child } from "../process/child.ts";
import { freePort } from "../process/free-port.ts";
import { rememberedPort, rememberPort } from "../process/remembered-port.ts";
import { readPid, runsOn } from "../process/running.ts";
import { StackError } from "../stack-error.ts";
import type { NatsBinary } from "./find.ts";
import { locateNats } from "./locate.ts";

const READY_TIMEOUT_MS = 30_000;
const ATTEMPTS = 5;

/** What is in a folder that a server was started on here, beside its streams. */
const MARKS = ["nats.pid", "port"];
/** Where every nats-server keeps its streams, also that of somebody else. */
const STREAMS = "jetstream";

export interface NatsOptions {
  /** JetStream's folder. */
  storeDir: string;
  /** Default: searched for, and downloaded into .sluice/cache where it has to be; see `locateNats`. */
  binary?: NatsBinary;
  /** Default: the port of the last start while it is free, else any free one. */
  port?: number;
  /** Every line of the server's log. */
  onLine?: (line: string) => void;
  /** Gives up starting, and stops what has been started. */
  signal?: AbortSignal;
}

/** A nats-server that was started here. */
export interface NatsServer extends Child {
  readonly url: string;
  readonly port: number;
  readonly version: string;
  /** "on PATH", "from apt", "official release 2.11.8". */
  readonly origin: string;
}

/**
 * Starts nats-server on 127.0.0.1 with JetStream in `storeDir`.
 *
 * To restart one that was killed under the address that its clients know, pass its `port`.
 *
 * @throws StackError `nats_missing` when there is none for this platform, `already_running` when one runs on the same
 *   folder, `data_folder_denied` when the streams in it are somebody else's, `port_taken` for a `port` that is in use,
 *   `child_failed`.
 * @example
 * await using nats = await startNats({ storeDir: ".sluice/data/nats" });
 */
export async function startNats(options: NatsOptions): Promise<NatsServer> {
  const storeDir = resolve(options.storeDir);
  const binary = options.binary ?? (await requireNats(options.signal));
  await mkdir(storeDir, { recursive: true });
  await refuseForeign(storeDir);
  await refuseSecondServer(storeDir);
  // Before there are streams: a start that is killed in between has left its own.
  await writeFile(join(storeDir, "nats.pid"), "", { flag: "a" });
  const portFile = join(storeDir, "port");
  let port = options.port ?? (await rememberedPort(portFile));
  for (let attempt = 1; ; attempt += 1) {
    const child = await launch(binary, port, { ...options, storeDir });
    try {
      await child.waitFor(
        (line) => line.includes("Server is ready") || undefined,
        READY_TIMEOUT_MS,
        options.signal,
      );
      await rememberPort(portFile, port);
      const { version, origin } = binary;
      return Object.assign(child, { url: `nats://127.0.0.1:${port}`, port, version, origin });
    } catch (error) {
      await child.stop();
      const taken = child.tail().some((line) => line.includes("address already in use"));
      if (!taken || attempt === ATTEMPTS) throw error;
      if (options.port) throw portTaken(port);
      port = await freePort();
    }
  }
}

async function requireNats(signal: AbortSignal | undefined): Promise<NatsBinary> {
  const search = await locateNats(signal);
  if (search.found) return search.found;
  throw new StackError("nats_missing", `There is no nats-server: ${search.reasons.join("; ")}.`, {
    hint: "Install nats-server 2.9 or newer (https://nats.io/download), or set NATS_URL.",
  });
}

/** The pid of the nats-server that runs on `storeDir`, if any. */
export async function runningNats(storeDir: string): Promise<number | undefined> {
  const pid = await readPid(join(storeDir, "nats.pid"));
  return pid && (await runsOn(pid, storeDir)) ? pid : undefined;
}

async function hasForeignStreams(storeDir: string): Promise<boolean> {
  const names = await readdir(storeDir).catch((): string[] => []);
  return names.includes(STREAMS) && !names.some((name) => MARKS.includes(name));
}

/** A server of somebody else's may run on them. */
async function refuseForeign(storeDir: string): Promise<void> {
  if (!(await hasForeignStreams(storeDir))) return;
  throw new StackError(
    "data_folder_denied",
    `${storeDir} is not Sluice's: the streams of another nats-server are in it.`,
    { hint: "Move them away, or set SLUICE_DATA_DIR to another folder." },
  );
}

/** Deletes what servers that were started here have left. Whoever calls has made sure that none runs on it. */
export async function removeNatsData(storeDir: string): Promise<void> {
  if (await hasForeignStreams(storeDir)) return;
  // The marks last: a removal that is cut short is gone on with.
  await removeFrom(storeDir, [STREAMS, ...MARKS]);
}

/** nats-server itself does not notice a second one on its folder; both would write the same streams. */
async function refuseSecondServer(storeDir: string): Promise<void> {
  const pid = await runningNats(storeDir);
  if (pid === undefined) return;
  throw new StackError(
    "already_running",
    `A nats-server (pid ${pid}) already runs on ${storeDir}.`,
    {
      hint:
        "Stop the Sluice that started it (Ctrl-C there). " +
        `If that one was killed and left nats-server behind: kill ${pid}, then start again.`,
    },
  );
}

async function launch(binary: NatsBinary, port: number, options: NatsOptions): Promise<Child> {
  const { storeDir } = options;
  const address = ["--addr", "127.0.0.1", "--port", String(port)];
  const child = await startChild({
    name: "NATS",
    command: [binary.path, "--jetstream", "--store_dir", storeDir, ...address],
    env: { PATH: process.env["PATH"] },
    cwd: storeDir,
    stopSignal: "SIGTERM",
    lastSignal: "SIGKILL",
    graceMs: 10_000,
    onLine: options.onLine,
  });
  await writeFile(join(storeDir, "nats.pid"), `${child.pid}\n`);
  return child;
}

function portTaken(port: number): StackError {
  return new StackError(
    "port_taken",
    `NATS cannot listen on 127.0.0.1:${port}: the port is taken.`,
  );
}

import { rm } from "node:fs/promises";
import { join } from "node:path";
import {
  freePort,
  installClock,
  startApi,
  startDispatcher,
  startNats,
  startPostgres,
  type Child,
  type NatsServer,
  type PostgresServer,
  type ServiceProcess,
} from "@sluice/stack";
import { SECRETS_KEY } from "./access-keys.ts";
import { complaintOf, type Complaint } from "./complaints.ts";
import type { Disk } from "./disk.ts";
import { PostgresClock } from "./postgres-clock.ts";
import { processTree } from "./process-tree.ts";
import { startProxy, type Proxy } from "./proxy.ts";

export interface SystemOptions {
  /** For all data. */
  folder: string;
  apis: number;
  dispatchers: number;
  /** Whether Postgres flushes to disk. */
  durable: boolean;
  /** One that Postgres has to itself. */
  disk?: Disk | undefined;
  /** Whether the clock of Postgres is to jump. */
  jumps?: boolean;
}

/** Whatever is set where this runs: nobody is let in without a key. */
const environment = {
  HOST: "127.0.0.1",
  AUTH: "on",
  SECRETS_KEY,
  LOG_LEVEL: "info",
  SHUTDOWN_TIMEOUT: undefined,
};
/** Gives a process a clock that can be put forward and back. */
const SHIFTABLE = `--import ${new URL("../../shift-clock.mjs", import.meta.url).href}`;

/** Between which two kinds of processes; clients have a link of their own to each API. */
export type LinkName =
  "clients" | "api-postgres" | "dispatcher-postgres" | "api-nats" | "dispatcher-nats";

export type ServiceKind = "api" | "dispatcher";

/** One place for an API or a dispatcher: it has a port, and a process as long as nobody kills it. */
export interface Slot {
  readonly kind: ServiceKind;
  readonly port: number;
  /** Says how far its clock is off; there only while it is. */
  readonly clockFile: string;
  process: ServiceProcess | undefined;
}

/** A whole Sluice of real processes, all of whose connections go through proxies. */
export class System implements AsyncDisposable {
  readonly links = new Map<LinkName, Proxy[]>();
  readonly slots: Slot[] = [];
  /** Errors that the processes logged. */
  readonly complaints: Complaint[] = [];
  /** Processes that ended though nobody had killed them. */
  readonly deaths: string[] = [];
  postgres!: PostgresServer;
  nats!: NatsServer;
  /** Undefined where Postgres goes by its own. */
  postgresClock: PostgresClock | undefined;
  readonly #options: SystemOptions;
  readonly #doomed = new WeakSet<Child>();
  readonly #starting = new Map<string, Promise<void>>();

  constructor(options: SystemOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { apis, dispatchers, jumps = false } = this.#options;
    await Promise.all([this.startPostgres(), this.startNats()]);
    if (jumps) {
      await installClock(this.postgres.adminUrl);
      this.postgresClock = new PostgresClock();
    }
    for (const kind of ["api", "dispatcher"] as const) {
      this.links.set(`${kind}-postgres`, [await startProxy(this.postgres.port)]);
      this.links.set(`${kind}-nats`, [await startProxy(this.nats.port)]);
    }
    for (let count = 0; count < apis; count += 1) await this.#addSlot("api");
    for (let count = 0; count < dispatchers; count += 1) await this.#addSlot("dispatcher");
    this.links.set(
      "clients",
      await Promise.all(this.#slotsOf("api").map(({ port }) => startProxy(port))),
    );
    await Promise.all(this.slots.map((slot) => this.startSlot(slot)));
  }

  /** One address for each API, behind its proxy. */
  get urls(): string[] {
    return (this.links.get("clients") ?? []).map(({ port }) => `http://127.0.0.1:${port}`);
  }

  /** The APIs without a proxy between. */
  get directUrls(): string[] {
    return this.#slotsOf("api").map(({ port }) => `http://127.0.0.1:${port}`);
  }

  slotsOf(kind: ServiceKind): Slot[] {
    return this.#slotsOf(kind);
  }

  startPostgres(): Promise<void> {
    return this.#once("postgres", () => this.#startPostgres());
  }

  startNats(how: { wiped?: boolean } = {}): Promise<void> {
    return this.#once("nats", () => this.#startNats(how));
  }

  /** The machine of Postgres loses its power, and has it again. */
  cutPower(): Promise<void> {
    return this.withDisk((disk) =>
      this.#once("postgres", async () => {
        this.mayDie(this.postgres);
        await disk.losePower();
        // Its sessions with it: they wait for each other where one of them could not write, and notice nothing.
        this.postgres.signal("SIGSTOP");
        for (const pid of await processTree(this.postgres.pid)) killAtOnce(pid);
        await this.postgres.exited;
        await disk.comeBack();
        await this.#startPostgres();
      }),
    );
  }

  /** Does something to the disk of Postgres that nobody else does anything to meanwhile. */
  withDisk(use: (disk: Disk) => Promise<void>): Promise<void> {
    return this.#once("disk", async () => {
      const { disk } = this.#options;
      if (!disk) throw new Error("Postgres has no disk of its own");
      await use(disk);
    });
  }

  /** From now on it is none of our business when it ends. */
  mayDie(child: Child): void {
    this.#doomed.add(child);
  }

  /** Starts the process of a slot that has none. */
  startSlot(slot: Slot, env: NodeJS.ProcessEnv = {}): Promise<void> {
    return this.#once(String(slot.port), () => this.#startSlot(slot, env));
  }

  async #startPostgres(): Promise<void> {
    if ((this.postgres as PostgresServer | undefined)?.running === true) return;
    const { folder, durable, disk } = this.#options;
    const { port } = (this.postgres as PostgresServer | undefined) ?? { port: await freePort() };
    const settings = { max_connections: 150, ...(disk && { max_wal_size: "256MB" }) };
    const dataDir = disk?.path ?? folder;
    this.postgres = this.#watch(await startPostgres({ dataDir, port, durable, settings }));
  }

  async #startNats({ wiped = false }: { wiped?: boolean }): Promise<void> {
    if ((this.nats as NatsServer | undefined)?.running === true) return;
    const storeDir = join(this.#options.folder, "nats");
    if (wiped) await rm(storeDir, { recursive: true, force: true });
    const { port } = (this.nats as NatsServer | undefined) ?? { port: await freePort() };
    this.nats = this.#watch(await startNats({ storeDir, port }));
  }

  async #startSlot(slot: Slot, env: NodeJS.ProcessEnv): Promise<void> {
    if (slot.process?.running === true) return;
    const database = new URL(this.postgres.url);
    database.port = String(this.links.get(`${slot.kind}-postgres`)?.[0]?.port);
    const natsPort = this.links.get(`${slot.kind}-nats`)?.[0]?.port;
    const start = slot.kind === "api" ? startApi : startDispatcher;
    const armed = env["SLUICE_FAILPOINTS"] !== undefined;
    const process = await start({
      databaseUrl: database.href,
      natsUrl: `nats://127.0.0.1:${natsPort}`,
      port: slot.port,
      env: {
        ...environment,
        NODE_OPTIONS: SHIFTABLE,
        CHAOS_CLOCK: slot.clockFile,
        // Every other API leaves all fan-outs to the dispatchers.
        DIRECT_FAN_OUT: this.slots.indexOf(slot) % 2 === 0 ? "0" : "16",
        ...env,
      },
      onLine: (line) => {
        const complaint = complaintOf(slot.kind, line);
        if (complaint !== undefined) this.complaints.push(complaint);
      },
    });
    if (armed) this.#doomed.add(process);
    slot.process = this.#watch(process);
  }

  /** Ends a process that is not to be missed. */
  async kill(child: Child | undefined, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (child === undefined || !child.running) return;
    this.#doomed.add(child);
    await child.kill(signal);
  }

  /** Everything fair, everything running: what is dead is started again. */
  async heal(): Promise<void> {
    for (const proxy of [...this.links.values()].flat()) proxy.set({});
    for (const child of this.#children()) child.signal("SIGCONT");
    if (!this.postgres.running) await this.startPostgres();
    if (!this.nats.running) await this.startNats();
    await Promise.all(this.slots.map((slot) => this.startSlot(slot)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children()) {
      this.#doomed.add(child);
      child.signal("SIGCONT");
    }
    await Promise.all(this.slots.map(async ({ process }) => await process?.stop()));
    await (this.nats as NatsServer | undefined)?.stop();
    await (this.postgres as PostgresServer | undefined)?.stop();
    for (const proxy of [...this.links.values()].flat()) await proxy[Symbol.asyncDispose]();
  }

  /** Two nemeses may bring back the same victim: the second waits for the first. */
  #once(what: string, start: () => Promise<void>): Promise<void> {
    const before = this.#starting.get(what) ?? Promise.resolve();
    const started = before.then(start, start);
    this.#starting.set(
      what,
      started.catch(() => {}),
    );
    return started;
  }

  #children(): Child[] {
    const services = this.slots.flatMap(({ process }) => process ?? []);
    const servers = [this.nats as Child | undefined, this.postgres as Child | undefined];
    return [...services, ...servers.filter((child) => child !== undefined)].filter(
      ({ running }) => running,
    );
  }

  #slotsOf(kind: ServiceKind): Slot[] {
    return this.slots.filter((slot) => slot.kind === kind);
  }

  async #addSlot(kind: ServiceKind): Promise<void> {
    const port = await freePort();
    const clockFile = join(this.#options.folder, `clock-of-${port}`);
    this.slots.push({ kind, port, clockFile, process: undefined });
  }

  #watch<C extends Child>(child: C): C {
    void child.exited.then(({ code, signal }) => {
      if (this.#doomed.has(child)) return;
      this.deaths.push(`${child.name} (${signal ?? `exit code ${code}`}): ${child.tail().at(-1)}`);
    });
    return child;
  }
}

function killAtOnce(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

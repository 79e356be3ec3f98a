import { join } from "node:path";
import {
  startApi,
  startDispatcher,
  startNats,
  startStack,
  startStandalone,
  type BusServiceOptions,
  type Child,
  type NatsServer,
  type Progress,
  type ServiceOptions,
  type ServiceProcess,
  type Stack,
} from "@sluice/stack";
import { complaintIn } from "./complaint.ts";
import type { System } from "./system.ts";

export interface LocalSystemOptions {
  readonly apis: number;
  readonly dispatchers: number;
  /** An empty folder for the data. */
  readonly folder: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Starts Postgres, NATS, APIs and dispatchers; disposing it stops them all. */
export async function startLocalSystem(options: LocalSystemOptions): Promise<LocalSystem> {
  const system = new LocalSystem(options);
  try {
    await system.start();
    return system;
  } catch (error) {
    await system.stop();
    throw error;
  }
}

/** A Sluice of the demo's own, parts of which can be killed and started again. */
export class LocalSystem implements System {
  readonly complaints: string[] = [];
  readonly broken: Promise<never>;
  readonly #options: LocalSystemOptions;
  readonly #apis: ServiceProcess[] = [];
  readonly #dispatchers: ServiceProcess[] = [];
  #stack: Stack | undefined;
  #nats: NatsServer | undefined;
  /** Processes that were told to end. */
  readonly #dismissed = new Set<Child>();
  #breakDown: (error: Error) => void = () => {};

  constructor(options: LocalSystemOptions) {
    this.#options = options;
    this.broken = new Promise((_, reject) => (this.#breakDown = reject));
    // Told to whoever waits for it; while nobody does it is no unhandled rejection.
    this.broken.catch(() => {});
  }

  get urls(): string[] {
    return this.#apis.map(({ url }) => url);
  }

  async start(): Promise<void> {
    const { apis, dispatchers, folder, progress, signal } = this.#options;
    // Every process opens up to 15 connections to Postgres.
    const settings = { max_connections: 20 + 15 * (apis + dispatchers) };
    const startingOnly: Progress = { step: (...step) => this.#tell(...step) };
    this.#stack = await startStack({ dataDir: folder, settings, progress: startingOnly, signal });
    const { postgres, nats } = this.#stack;
    if (postgres) this.#watch(postgres);
    if (nats === undefined) {
      await progress.step("API and dispatcher as one process", () => this.#startStandalone());
      return;
    }
    this.#nats = this.#watch(nats);
    await progress.step(
      "APIs and dispatchers",
      () => this.#startProcesses(apis, dispatchers),
      () =>
        `${counted(dispatchers, "dispatcher")}, ${counted(apis, "API")}: ${this.urls.join(", ")}`,
    );
  }

  /** False where no NATS can be had: then a single process does everything, and there is nothing to kill. */
  get distributed(): boolean {
    return this.#nats !== undefined;
  }

  async killDispatcher(): Promise<void> {
    const dispatcher = this.#dispatchers.shift();
    if (dispatcher !== undefined) await this.#kill(dispatcher);
  }

  async startDispatcher(): Promise<void> {
    this.#dispatchers.push(this.#watch(await startDispatcher(this.#busService("dispatcher"))));
  }

  async killNats(): Promise<void> {
    if (this.#nats !== undefined) await this.#kill(this.#nats);
  }

  /** Starts NATS again, on what it has stored and under the address that the processes know. */
  async startNats(): Promise<void> {
    const { folder, signal } = this.#options;
    const port = this.#nats?.port;
    const options = { storeDir: join(folder, "nats"), ...(port && { port }), signal };
    this.#nats = this.#watch(await startNats(options));
  }

  async stop(): Promise<void> {
    const processes = [...this.#apis, ...this.#dispatchers];
    for (const child of [...processes, this.#nats, this.#stack?.postgres]) {
      if (child !== undefined) this.#dismissed.add(child);
    }
    await Promise.all(processes.map((child) => child.stop()));
    await this.#nats?.stop();
    await this.#stack?.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #startStandalone(): Promise<void> {
    this.#apis.push(this.#watch(await startStandalone(this.#service("Sluice"))));
  }

  async #startApi(): Promise<void> {
    this.#apis.push(this.#watch(await startApi(this.#busService("API"))));
  }

  async #startProcesses(apis: number, dispatchers: number): Promise<void> {
    const starts = [
      ...Array.from({ length: dispatchers }, () => this.startDispatcher()),
      ...Array.from({ length: apis }, () => this.#startApi()),
    ];
    // All of them, also when one fails: nobody could stop what comes up later.
    const outcomes = await Promise.allSettled(starts);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  #busService(name: string): BusServiceOptions {
    return { ...this.#service(name), natsUrl: this.#stack!.natsUrl! };
  }

  #service(name: string): ServiceOptions {
    return {
      databaseUrl: this.#stack!.databaseUrl,
      // Whatever the developer's own environment says: we connect to loopback, have no key, and wait for a log line.
      env: { HOST: "127.0.0.1", AUTH: "off", LOG_LEVEL: "info" },
      onLine: (line) => {
        const complaint = complaintIn(line);
        if (complaint !== undefined) this.complaints.push(`${name}: ${complaint}`);
      },
      signal: this.#options.signal,
    };
  }

  #watch<C extends Child>(child: C): C {
    void child.exited.then(({ code, signal }) => {
      const how = signal ?? `exit code ${code}`;
      if (this.#dismissed.has(child)) return;
      this.#breakDown(new Error(`${child.name} ended by itself (${how}).`));
    });
    return child;
  }

  async #kill(child: Child): Promise<void> {
    this.#dismissed.add(child);
    await child.kill("SIGKILL");
  }

  /** With the result on the screen nobody wants to read how Postgres stops. */
  #tell: Progress["step"] = (label, work, done) =>
    this.#dismissed.size > 0 ? work() : this.#options.progress.step(label, work, done);
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

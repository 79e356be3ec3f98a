import { createInProcessBus, InProcessHub, type Bus } from "@sluice/bus";
import {
  classifyFailure,
  connectDatabase,
  isStatementCancelled,
  migrate,
  type Database,
  type Sql,
} from "@sluice/database";
import {
  Engine,
  startDispatcher,
  type Observer,
  type QueueSettings,
  type RunningDispatcher,
} from "@sluice/engine";
import { createLogger } from "@sluice/runtime";
import { createTestDatabase, installClock } from "@sluice/stack/testing";
import { expect, inject } from "vitest";

import { Client } from "./client.ts";
import { ACCOUNT } from "./content.ts";
import { until } from "./interleaving.ts";
import { testClock, type TestClock } from "./clock.ts";

export { ACCOUNT } from "./content.ts";

export interface BrokerOptions {
  /** What API processes have, as many as there would be processes. Default 1. */
  engines?: number;
  /** Default 1. */
  dispatchers?: number;
  /** Connects one more member; default: all meet in one process. */
  connectBus?: () => Promise<Bus>;
  /** How long the record of what became of messages goes back, in hours. Default 12; 0 is without one. */
  traceHours?: number;
  /** Most subscriptions of a topic that its publishes fan out themselves. Default 0: the dispatchers do it. */
  directQueues?: number;
  /** Connections to Postgres will be cut: what fails by that is no failure, whenever it is reported. Default false. */
  cutsConnections?: boolean;
}

/**
 * A whole Sluice without HTTP on a database of its own: engines and dispatchers, each on its own connections and its
 * own member of the bus, as processes would be. A failure in the background fails the test that disposes it.
 */
export class Broker implements AsyncDisposable {
  readonly database: Database;
  readonly databaseUrl: string;
  readonly clock: TestClock;
  readonly engines: Engine[] = [];
  /** The connections of everybody. */
  readonly databases: Database[] = [];
  /** What engines and dispatchers reported; a test that expects a failure takes it out. */
  readonly failures: { what: string; error: unknown }[] = [];
  readonly counted = {
    published: 0,
    sent: 0,
    batches: 0,
    deliveries: 0,
    received: 0,
    acknowledged: 0,
    deadLettered: 0,
    expired: 0,
    purged: 0,
    cancelled: 0,
    redriven: 0,
    replayed: 0,
    released: 0,
  };
  readonly observer: Observer;
  readonly #connectBus: () => Promise<Bus>;
  readonly #traceHours: number;
  readonly #directQueues: number;
  /** What has to be undone, last first. */
  readonly #steps: (() => Promise<void>)[];
  #names = 0;
  #cutsConnections = false;

  private constructor(
    url: string,
    {
      connectBus,
      traceHours,
      directQueues,
    }: Required<Pick<BrokerOptions, "connectBus" | "traceHours" | "directQueues">>,
    dropDatabase: () => Promise<void>,
  ) {
    this.databaseUrl = url;
    this.database = connectDatabase({ url, pool: 3, name: "test", traceHours });
    this.clock = testClock(this.database.sql);
    this.observer = this.#observe();
    this.#connectBus = connectBus;
    this.#traceHours = traceHours;
    this.#directQueues = directQueues;
    this.#steps = [dropDatabase];
    this.#own(this.database);
  }

  static async start({
    engines = 1,
    dispatchers = 1,
    connectBus = meetingPlace(),
    traceHours = 12,
    directQueues = 0,
    cutsConnections = false,
  }: BrokerOptions = {}): Promise<Broker> {
    const testDatabase = await createTestDatabase(inject("databaseUrl"));
    await installClock(testDatabase.url);
    await migrate(testDatabase.url);
    const drop = () => Promise.resolve(testDatabase[Symbol.asyncDispose]());
    const broker = new Broker(testDatabase.url, { connectBus, traceHours, directQueues }, drop);
    broker.#cutsConnections = cutsConnections;
    for (let count = 0; count < engines; count += 1) await broker.startEngine();
    for (let count = 0; count < dispatchers; count += 1) await broker.startDispatcher();
    return broker;
  }

  /** A caller of one more API process on the database of a broker, with another setting. */
  static async join(broker: Broker, { traceHours }: { traceHours: number }): Promise<Client> {
    const database = connectDatabase({
      url: broker.databaseUrl,
      pool: 4,
      name: "test",
      traceHours,
    });
    return new Client(await broker.startEngine(database));
  }

  /** For looking at tables and doing to them what only an accident would do. */
  get sql(): Sql {
    return this.database.sql;
  }

  /** The first engine. */
  get engine(): Engine {
    return this.client().engine;
  }

  /** A caller of the engine of this number. */
  client(number = 0): Client {
    const engine = this.engines[number];
    if (!engine) throw new Error(`this broker has no engine ${number}`);
    return new Client(engine);
  }

  /** One more API process. */
  async startEngine(
    database = this.#connect("test-engine", 4),
    directQueues = this.#directQueues,
  ): Promise<Engine> {
    this.#own(database);
    const bus = await this.#joinBus();
    const { observer } = this;
    const engine = await Engine.open({ database, bus, observer, directQueues });
    this.#steps.push(() => engine.close());
    this.engines.push(engine);
    return engine;
  }

  /** One more dispatcher process. */
  async startDispatcher(
    database = this.#connect("test-dispatcher", 2, true),
  ): Promise<RunningDispatcher> {
    this.#own(database);
    const bus = await this.#joinBus();
    const logger = createLogger({ name: "test-dispatcher", level: "silent" });
    const dispatcher = await startDispatcher({ database, bus, observer: this.observer, logger });
    this.#steps.push(() => dispatcher.stop());
    return dispatcher;
  }

  /** A new queue's name. */
  async newQueue(settings: Partial<QueueSettings> = {}): Promise<string> {
    this.#names += 1;
    const name = `queue-${this.#names}${settings.fifo ? ".fifo" : ""}`;
    await this.engine.queues.create(ACCOUNT, name, settings);
    return name;
  }

  /** The name of a new topic that these queues are subscribed to. */
  async newTopic(queues: readonly string[] = []): Promise<string> {
    this.#names += 1;
    const name = `topic-${this.#names}`;
    await this.engine.topics.create(ACCOUNT, { name });
    for (const queue of queues) await this.engine.subscribe(ACCOUNT, name, queue);
    return name;
  }

  async idOf(queue: string): Promise<string> {
    const row = await this.engine.queues.find(ACCOUNT, queue);
    if (!row) throw new Error(`there is no queue ${queue}`);
    return row.id;
  }

  async counts(queue: string): Promise<{ visible: number; inFlight: number; delayed: number }> {
    const row = await this.engine.queues.find(ACCOUNT, queue);
    if (!row) throw new Error(`there is no queue ${queue}`);
    const { visible, inFlight, delayed } = await this.engine.queues.counts(row);
    return { visible, inFlight, delayed };
  }

  /** Batches that wait for their fan-out. */
  async waitingBatches(): Promise<string[]> {
    const rows = await this.sql<
      { batch_id: string }[]
    >`SELECT batch_id FROM outbox ORDER BY batch_id`;
    return rows.map((row) => row.batch_id);
  }

  /** Everything that was published so far has been fanned out. */
  async untilFannedOut(): Promise<void> {
    await until(async () => (await this.waitingBatches()).length === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) await step();
    expect(this.failures).toEqual([]);
  }

  #connect(name: string, pool: number, lazy = false): Database {
    const traceHours = this.#traceHours;
    return connectDatabase({ url: this.databaseUrl, pool, name, lazy, traceHours });
  }

  #own(database: Database): void {
    this.databases.push(database);
    this.#steps.push(() => database.close());
  }

  async #joinBus(): Promise<Bus> {
    const bus = await this.#connectBus();
    this.#steps.push(() => bus.close());
    return bus;
  }

  #observe(): Observer {
    const { counted, failures } = this;
    return {
      published: (messages) => void (counted.published += messages),
      sent: (messages) => void (counted.sent += messages),
      fannedOut: (batches, deliveries) => {
        counted.batches += batches;
        counted.deliveries += deliveries;
      },
      received: (messages) => void (counted.received += messages),
      acknowledged: (messages) => void (counted.acknowledged += messages),
      deadLettered: (messages) => void (counted.deadLettered += messages),
      expired: (messages) => void (counted.expired += messages),
      purged: (messages) => void (counted.purged += messages),
      cancelled: (messages) => void (counted.cancelled += messages),
      redriven: (messages) => void (counted.redriven += messages),
      replayed: (messages) => void (counted.replayed += messages),
      queuesHold: () => undefined,
      horizonHeld: () => undefined,
      outboxWaits: () => undefined,
      dutyFailed: () => undefined,
      released: (messages) => void (counted.released += messages),
      failed: (what, error) => {
        if (this.#cutsConnections && classifyFailure(error) === "unavailable") return;
        // It has a second, and is tried again after another one; a machine may stand still for longer.
        if (what === "safety poll" && isStatementCancelled(error)) return;
        failures.push({ what, error });
      },
    };
  }
}

function meetingPlace(): () => Promise<Bus> {
  const hub = new InProcessHub();
  return () => Promise.resolve(createInProcessBus({ hub }));
}

/** Members that never hear of each other: as if every hint between processes were lost. */
export function loneliness(): () => Promise<Bus> {
  return () => Promise.resolve(createInProcessBus());
}

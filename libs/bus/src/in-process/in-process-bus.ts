import { createLogger, type Logger } from "@sluice/runtime";
import type { Bus, BusSubscription, Change, TakeOptions } from "../bus.ts";
import { Listeners } from "../listeners.ts";
import { MergedSets } from "../merged-sets.ts";

/** What in-process buses meet on. Members of one hub are what processes on one NATS are. */
export class InProcessHub {
  readonly members = new Set<InProcessBus>();
  readonly takers = new Set<MergedSets>();

  /** The next taker in turn. */
  taker(): MergedSets | undefined {
    const [next] = this.takers;
    if (next !== undefined && this.takers.delete(next)) this.takers.add(next);
    return next;
  }
}

export interface InProcessBusOptions {
  /** Default: a hub of its own, so that the bus talks to itself alone. */
  hub?: InProcessHub;
  /** Gets what handlers throw. Default: nowhere. */
  logger?: Logger;
}

/**
 * A bus inside one process, for the broker that is one process. As on the network, what is sent arrives later and never
 * during the call that sent it.
 *
 * @example
 * const bus = createInProcessBus()
 */
export function createInProcessBus(options: InProcessBusOptions = {}): Bus {
  const { hub = new InProcessHub(), logger = createLogger({ name: "bus", level: "silent" }) } =
    options;
  return new InProcessBus(hub, logger);
}

class InProcessBus implements Bus {
  readonly kind = "in-process";
  readonly #hub: InProcessHub;
  readonly #logger: Logger;
  readonly #queues: Listeners<string[]>;
  readonly #changes: Listeners<Change>;
  readonly #taking = new Set<BusSubscription>();
  #closed = false;

  constructor(hub: InProcessHub, logger: Logger) {
    this.#hub = hub;
    this.#logger = logger;
    this.#queues = new Listeners((err) => this.#failed("queues", err));
    this.#changes = new Listeners((err) => this.#failed("changes", err));
    hub.members.add(this);
  }

  get connected(): boolean {
    return !this.#closed;
  }

  announceBatches(batchIds: readonly string[]): void {
    const ids = [...batchIds];
    this.#later(() => this.#hub.taker()?.add(ids));
  }

  async takeBatches(
    handler: (batchIds: string[]) => Promise<void>,
    { maxBatches = 256 }: TakeOptions = {},
  ): Promise<BusSubscription> {
    const onError = (err: unknown) => this.#failed("batches", err);
    const sets = new MergedSets({ handler, maxIds: maxBatches, onError });
    this.#hub.takers.add(sets);
    const subscription = {
      stop: async () => {
        this.#hub.takers.delete(sets);
        this.#taking.delete(subscription);
        await sets.settled();
      },
    };
    this.#taking.add(subscription);
    return subscription;
  }

  signalQueues(queueIds: readonly string[]): void {
    const ids = [...queueIds];
    this.#later(() => this.#hub.members.forEach((member) => member.#queues.emit(ids)));
  }

  async onQueues(handler: (queueIds: string[]) => void): Promise<BusSubscription> {
    return this.#queues.add(handler);
  }

  invalidate(change: Change): void {
    this.#later(() => this.#hub.members.forEach((member) => member.#changes.emit(change)));
  }

  async onChange(handler: (change: Change) => void): Promise<BusSubscription> {
    return this.#changes.add(handler);
  }

  /** Nothing is ever missed inside a process. */
  onGap(): BusSubscription {
    return { stop: async () => {} };
  }

  async close(): Promise<void> {
    // What was sent before is delivered first: microtasks run in order.
    await Promise.resolve();
    this.#closed = true;
    await Promise.all([...this.#taking].map((subscription) => subscription.stop()));
    this.#hub.members.delete(this);
  }

  #later(deliver: () => void): void {
    if (!this.#closed) queueMicrotask(deliver);
  }

  #failed(hint: string, err: unknown): void {
    this.#logger.error({ event: "bus.handler-failed", hint, err }, `a handler of ${hint} failed`);
  }
}

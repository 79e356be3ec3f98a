import { setTimeout as sleep } from "node:timers/promises";

import { connect } from "@nats-io/transport-node";
import { createLogger, type Logger } from "@sluice/runtime";
import type { Bus, BusSubscription, Change, TakeOptions } from "../bus.ts";
import { Listeners } from "../listeners.ts";
import { MergedSets } from "../merged-sets.ts";
import { Channel } from "./channel.ts";
import { connectionOptions } from "./connection-options.ts";
import { Link } from "./link.ts";
import { Taker } from "./taker.ts";
import { decodeChange, decodeIds, encodeChange, encodeIds } from "./wire.ts";

export interface NatsBusOptions {
  /** `nats://` or `tls://` URLs of one cluster, with credentials where needed. */
  servers: readonly string[];
  /** Name of the connection in the server's own monitoring. */
  name: string;
  /**
   * First token of every subject and the name of the stream, 1 to 64 of `A-Za-z0-9_-`, so that several installations
   * can use one NATS. Default "sluice".
   */
  prefix?: string;
  /** Default: nowhere. */
  logger?: Logger;
}

/**
 * Connects to NATS. Subjects: `sluice.batches` (announcements, a JetStream work queue), `sluice.queues`,
 * `sluice.changes` (core NATS, to everybody).
 *
 * Once connected it reconnects for ever. While disconnected, signals and changes still reach the handlers of this
 * process; what is meant for others is dropped.
 *
 * @throws when no server can be reached within 5 seconds each. For a bus without a server: {@link joinNatsBus}.
 * @throws {TypeError} when `prefix` breaks its rule
 * @throws {URIError} when a URL has a `%` that belongs to no escape
 * @example
 * const bus = await connectNatsBus({ servers: ["nats://127.0.0.1:4222"], name: "api", logger })
 */
export async function connectNatsBus(options: NatsBusOptions): Promise<Bus> {
  const { link, bus, dial } = prepare(options);
  await link.begin(await dial());
  return bus;
}

/** A server that is there has answered by then, milliseconds. */
const firstPatience = 1_000;

/**
 * As {@link connectNatsBus}, but where NATS is away the bus is disconnected at first, as it is when NATS goes away
 * later: it resolves within a second, and the connection comes when it can be made.
 *
 * @throws the reason of `signal` when that fires before
 * @throws {TypeError} when `prefix` breaks its rule
 * @throws {URIError} when a URL has a `%` that belongs to no escape
 */
export async function joinNatsBus(
  options: NatsBusOptions & { signal?: AbortSignal },
): Promise<Bus> {
  const { link, bus, dial } = prepare(options);
  const { signal } = options;
  const waiting = new AbortController();
  const ended = AbortSignal.any([waiting.signal, ...(signal ? [signal] : [])]);
  const enough = sleep(firstPatience, undefined, { signal: ended }).catch(() => {});
  await Promise.race([link.join(dial), enough]);
  waiting.abort();
  if (signal?.aborted) await bus.close();
  signal?.throwIfAborted();
  return bus;
}

function prepare({ servers, name, prefix = "sluice", ...rest }: NatsBusOptions) {
  const { logger = createLogger({ name, level: "silent" }) } = rest;
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(prefix))
    throw new TypeError(`prefix ${JSON.stringify(prefix)}`);
  const options = connectionOptions(servers, name);
  const link = new Link(logger);
  return { link, bus: new NatsBus(link, prefix, logger), dial: () => connect(options) };
}

class NatsBus implements Bus {
  readonly kind = "nats";
  readonly #link: Link;
  readonly #logger: Logger;
  readonly #batches: string;
  readonly #queues: Channel<string[]>;
  readonly #changes: Channel<Change>;
  readonly #gaps: Listeners<void>;
  readonly #takers = new Set<Taker>();

  constructor(link: Link, prefix: string, logger: Logger) {
    this.#link = link;
    this.#logger = logger;
    this.#batches = `${prefix}.batches`;
    this.#queues = new Channel({
      link,
      subject: `${prefix}.queues`,
      encode: (ids) => encodeIds(ids, link.maxPayload),
      decode: decodeIds,
      onError: this.#onErrorOf("queues"),
    });
    this.#changes = new Channel({
      link,
      subject: `${prefix}.changes`,
      encode: (change) => [encodeChange(change)],
      decode: decodeChange,
      onError: this.#onErrorOf("changes"),
    });
    this.#gaps = new Listeners(this.#onErrorOf("gaps"));
    link.on("up", () => this.#gaps.emit());
  }

  get connected(): boolean {
    return this.#link.connected;
  }

  announceBatches(batchIds: readonly string[]): void {
    for (const text of encodeIds(batchIds, this.#link.maxPayload)) {
      this.#link.send(this.#batches, text);
    }
  }

  async takeBatches(
    handler: (batchIds: string[]) => Promise<void>,
    { maxBatches = 256 }: TakeOptions = {},
  ): Promise<BusSubscription> {
    const onError = this.#onErrorOf("batches");
    const sets = new MergedSets({ handler, maxIds: maxBatches, onError });
    const taker = new Taker({
      link: this.#link,
      subject: this.#batches,
      sets,
      logger: this.#logger,
    });
    this.#takers.add(taker);
    await taker.taking;
    return {
      stop: async () => {
        this.#takers.delete(taker);
        await taker.stop();
      },
    };
  }

  signalQueues(queueIds: readonly string[]): void {
    this.#queues.send([...queueIds]);
  }

  onQueues(handler: (queueIds: string[]) => void): Promise<BusSubscription> {
    return this.#queues.listen(handler);
  }

  invalidate(change: Change): void {
    this.#changes.send(change);
  }

  onChange(handler: (change: Change) => void): Promise<BusSubscription> {
    return this.#changes.listen(handler);
  }

  onGap(handler: () => void): BusSubscription {
    return this.#gaps.add(handler);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#takers].map((taker) => taker.stop()));
    this.#queues.close();
    this.#changes.close();
    this.#gaps.clear();
    await this.#link.close();
  }

  #onErrorOf(hint: string): (err: unknown) => void {
    return (err) =>
      this.#logger.error({ event: "bus.handler-failed", hint, err }, `a handler of ${hint} failed`);
  }
}

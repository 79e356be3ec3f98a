import { EventEmitter, once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { untilAvailable, type Logger } from "@sluice/runtime";
import type { NatsConnection, Subscription } from "@nats-io/transport-node";

/** What may be on its way to the server unconfirmed, bytes. A server that hangs is sent no more than this. */
const mostUnconfirmed = 4 * 1_024 * 1_024;
/** Bytes after which the server is asked whether it has read them. */
const confirmEvery = 64 * 1_024;

/**
 * The connection to NATS as the bus needs it: sending never throws, never waits and never piles up. The library by
 * itself would buffer without limit what is published while it is disconnected or while the server does not read,
 * and gives no connection to subscribe with before the first one is made.
 *
 *     no connection yet ──begin──▶ up ──lost──▶ down ──▶ up …
 *
 * Events: `down` when the connection is lost; `up` when there is one (again) and every subscription is in place.
 */
export class Link extends EventEmitter<{ up: []; down: [] }> {
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  /** What is to be subscribed to with the first connection. */
  readonly #wanted = new Set<(nats: NatsConnection) => void>();
  #nats: NatsConnection | undefined;
  #connected = false;
  #unconfirmed = 0;
  #confirming = false;

  constructor(logger: Logger) {
    super();
    this.#logger = logger;
  }

  /** Tries until there is a first connection, or the link is closed; resolves then. */
  async join(connect: () => Promise<NatsConnection>): Promise<void> {
    const { signal } = this.#closing;
    const available = untilAvailable("NATS", connect, { logger: this.#logger, signal });
    const nats = await available.catch(() => undefined);
    if (signal.aborted) await nats?.close();
    else if (nats !== undefined) await this.begin(nats);
  }

  /** Goes on with this connection, the first one. */
  async begin(nats: NatsConnection): Promise<void> {
    this.#nats = nats;
    this.#connected = true;
    for (const subscribe of this.#wanted) subscribe(nats);
    this.#wanted.clear();
    void this.#watch(nats);
    await this.flush();
    if (this.connected) this.emit("up");
  }

  get connected(): boolean {
    return this.#connected && this.#nats?.isClosed() === false;
  }

  /** Largest payload of one message, bytes. */
  get maxPayload(): number {
    return this.#nats?.info?.max_payload ?? 1_048_576;
  }

  send(subject: string, payload: string): void {
    if (!this.connected || this.#unconfirmed > mostUnconfirmed) return;
    try {
      this.#nats?.publish(subject, payload);
    } catch {
      return;
    }
    this.#unconfirmed += subject.length + payload.length;
    if (this.#unconfirmed >= confirmEvery && !this.#confirming) void this.#confirm();
  }

  subscribe(
    subject: string,
    callback: (text: string) => void,
    queue?: string,
  ): Pick<Subscription, "unsubscribe"> {
    const subscribe = (nats: NatsConnection) =>
      nats.subscribe(subject, {
        ...(queue !== undefined && { queue }),
        callback: (error, message) => {
          if (error === null) callback(message.string());
        },
      });
    if (this.#nats !== undefined) return subscribe(this.#nats);
    let subscription: Subscription | undefined;
    const wanted = (nats: NatsConnection) => void (subscription = subscribe(nats));
    this.#wanted.add(wanted);
    return {
      unsubscribe: () => {
        this.#wanted.delete(wanted);
        subscription?.unsubscribe();
      },
    };
  }

  /** Resolves when the server has read all that was sent, or at once when there is nobody to read it. */
  async flush(): Promise<void> {
    if (this.connected) await this.#nats?.flush().catch(() => {});
  }

  /** Resolves with the connection once there is one, or with undefined when the signal fires before. */
  async untilConnected(signal: AbortSignal): Promise<NatsConnection | undefined> {
    if (!this.connected && !signal.aborted) await once(this, "up", { signal }).catch(() => {});
    return signal.aborted ? undefined : this.#nats;
  }

  /** Sends what is under way, for two seconds at most, and disconnects. */
  async close(): Promise<void> {
    this.#closing.abort();
    const patience = new AbortController();
    const enough = sleep(2_000, undefined, { signal: patience.signal }).catch(() => {});
    await Promise.race([this.flush(), enough]);
    patience.abort();
    await this.#nats?.close();
  }

  async #confirm(): Promise<void> {
    this.#confirming = true;
    const asked = this.#unconfirmed;
    await this.flush();
    this.#unconfirmed = Math.max(0, this.#unconfirmed - asked);
    this.#confirming = false;
  }

  async #watch(nats: NatsConnection): Promise<void> {
    for await (const status of nats.status()) {
      switch (status.type) {
        case "disconnect":
          this.#goDown(status.server);
          break;
        case "reconnect":
          await this.#comeUp(status.server);
          break;
        case "error":
          this.#logger.warn({ event: "bus.error", err: status.error }, "NATS reports an error");
          break;
        default:
      }
    }
  }

  #goDown(server: string): void {
    // The library may say either again, once for each socket that failed in between.
    if (!this.#connected) return;
    this.#connected = false;
    this.#logger.warn({ event: "bus.disconnected", server }, "lost NATS, messages arrive later");
    this.emit("down");
  }

  async #comeUp(server: string): Promise<void> {
    if (this.#connected) return;
    this.#connected = true;
    this.#unconfirmed = 0;
    // The library has sent the subscriptions again; when this is answered they are in place.
    await this.flush();
    if (!this.connected) return;
    this.#logger.info({ event: "bus.reconnected", server }, "NATS is back");
    this.emit("up");
  }
}

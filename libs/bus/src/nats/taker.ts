import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { backoffDelay, messageOf, type Logger } from "@sluice/runtime";
import type { Consumer, ConsumerMessages } from "@nats-io/jetstream";
import type { NatsConnection, Subscription } from "@nats-io/transport-node";
import type { MergedSets } from "../merged-sets.ts";
import type { Link } from "./link.ts";
import { decodeIds } from "./wire.ts";
import { ensureWorkQueue, pull } from "./work-queue.ts";

export interface TakerOptions {
  link: Link;
  subject: string;
  sets: MergedSets;
  logger: Logger;
}

/**
 * Takes announcements from the work queue, and from a queue group for as long as there is no work queue to be had.
 *
 *     ensuring ──▶ pulling            the stream or the connection is gone ──▶ ensuring
 *     ensuring ──no JetStream──▶ in the queue group, ensuring again after a pause and after every reconnect
 *
 * Takers of both kinds may share a subject: an announcement then reaches one of each, which is harmless.
 */
export class Taker {
  readonly #options: TakerOptions;
  readonly #stopping = new AbortController();
  readonly #loop: Promise<void>;
  #pull: ConsumerMessages | undefined;
  #group: Pick<Subscription, "unsubscribe"> | undefined;
  #failures = 0;
  #onTaking: () => void = () => {};
  /**
   * Resolves when announcements that are sent from now on are taken, or there is no connection that one could come by.
   */
  readonly taking = new Promise<void>((resolve) => (this.#onTaking = resolve));

  constructor(options: TakerOptions) {
    this.#options = options;
    options.link.on("down", this.#interrupt);
    if (!options.link.connected) this.#onTaking();
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#interrupt();
    this.#options.link.off("down", this.#interrupt);
    await this.#loop;
    this.#leaveGroup();
    // Until the server has read that nobody pulls here any more, it gives this pull its share.
    await this.#options.link.flush();
    await this.#options.sets.settled();
  }

  readonly #interrupt = (): void => {
    this.#onTaking();
    void this.#pull?.close();
  };

  async #run(): Promise<void> {
    const { link, subject } = this.#options;
    const { signal } = this.#stopping;
    let nats: NatsConnection | undefined;
    while ((nats = await link.untilConnected(signal)) !== undefined) {
      try {
        await this.#pullFrom(await ensureWorkQueue(nats, subject));
      } catch (error) {
        if (link.connected && !signal.aborted) await this.#doWithout(error);
      }
    }
  }

  async #pullFrom(consumer: Consumer): Promise<void> {
    const { link, sets } = this.#options;
    while (link.connected && !this.#stopping.signal.aborted) {
      this.#pull = await consumer.fetch(pull);
      this.#onTaking();
      for await (const message of this.#pull) {
        message.ack();
        sets.add(decodeIds(message.string()) ?? []);
        this.#proven();
      }
      this.#proven();
      await sets.room();
    }
  }

  async #doWithout(error: unknown): Promise<void> {
    this.#failures += 1;
    // A stream that was deleted is back after one more try; that is not worth a change, let alone two log lines.
    if (this.#failures > 1) this.#joinGroup(error);
    const delay = backoffDelay(this.#failures, { initialMs: 50, maxMs: 30_000 });
    const enough = new AbortController();
    const signal = AbortSignal.any([enough.signal, this.#stopping.signal]);
    const pause = sleep(delay, undefined, { signal });
    const reconnect = once(this.#options.link, "up", { signal });
    await Promise.race([pause, reconnect]).catch(() => {});
    enough.abort();
  }

  /** The work queue gives messages or says that it has none; being able to make it proves less. */
  #proven(): void {
    this.#failures = 0;
    this.#leaveGroup();
  }

  #joinGroup(error: unknown): void {
    if (this.#group !== undefined) return;
    const { link, subject, sets, logger } = this.#options;
    this.#group = link.subscribe(subject, (text) => sets.add(decodeIds(text) ?? []), "takers");
    const fields = { event: "bus.work-queue-unavailable", reason: messageOf(error) };
    logger.warn(fields, "NATS has no work queue (JetStream), announcements come by a queue group");
    void link.flush().then(this.#onTaking);
  }

  #leaveGroup(): void {
    if (this.#group === undefined) return;
    this.#group.unsubscribe();
    this.#group = undefined;
    if (this.#stopping.signal.aborted) return;
    const { logger } = this.#options;
    logger.info({ event: "bus.work-queue-available" }, "announcements come by the work queue");
  }
}
